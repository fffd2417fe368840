package store

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/id"
)

func TestPagesStableDuringInserts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var want []string
	for range 7 {
		want = append([]string{f.submitRun(t, ada).ID}, want...)
	}
	var got []string
	page := Page{Limit: 3}
	for {
		found, err := f.Executions(t.Context(), ada, Filter{}, page)
		require.NoError(t, err)
		if len(found) == 0 {
			break
		}
		for _, e := range found {
			got = append(got, e.ID)
		}
		last := found[len(found)-1]
		page.After = &Cursor{At: last.CreatedAt, ID: last.ID}
		f.submitRun(t, ada) // comes before the pages that were read
	}
	require.Equal(t, want, got, "each exactly once, in order, without later additions")
}

// Resources with the same time are ordered by their IDs.
func TestPagesOrderEqualTimesByID(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: f.createAgent(t, ada).ID, Total: 10}
	inputs := f.NewBatchInputWriter(b.Ref())
	for range b.Total {
		require.NoError(t, inputs.Add(t.Context(), batch.Input{Text: "x"}))
	}
	require.NoError(t, inputs.Flush(t.Context()))
	require.NoError(t, f.SubmitBatch(t.Context(), &b, nil))
	_, _, err := f.DispatchBatch(t.Context(), b.Ref())
	require.NoError(t, err)
	seen := map[string]bool{}
	page := Page{Limit: 3}
	for {
		found, err := f.Executions(t.Context(), ada, Filter{BatchID: b.ID}, page)
		require.NoError(t, err)
		if len(found) == 0 {
			break
		}
		for _, e := range found {
			require.False(t, seen[e.ID], "listed twice")
			if page.After != nil { // Firestore has an index for this direction without being told
				require.Less(t, e.ID, page.After.ID)
			}
			seen[e.ID] = true
			page.After = &Cursor{At: e.CreatedAt, ID: e.ID}
		}
	}
	require.Len(t, seen, 10)
}

func TestListsNewestFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	oldest := f.submitTurn(t, "", "oldest")
	newest := f.submitTurn(t, "", "newest")
	executions, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{newest.ID, oldest.ID}, []string{executions[0].ID, executions[1].ID})

	f.submitTurn(t, oldest.ConversationID, "another message")
	conversations, err := f.Conversations(t.Context(), ada, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, conversations, 2)
	require.Equal(t, oldest.ConversationID, conversations[0].ID, "the conversation with the newest message comes first")
	conversations, err = f.Conversations(t.Context(), ada, Page{Limit: 1})
	require.NoError(t, err)
	require.Len(t, conversations, 1)

	first, second := f.createAgent(t, ada), f.createAgent(t, ada)
	agents, err := f.Agents(t.Context(), ada, Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{second.ID, first.ID}, []string{agents[0].ID, agents[1].ID})
	read, err := f.Agent(t.Context(), ada, first.ID)
	require.NoError(t, err)
	require.Equal(t, first.Instructions, read.Instructions)
}
