package store

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
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
		f.submitRun(t, ada) // comes to stand before what was read
	}
	require.Equal(t, want, got, "each once, in order, and none of those that came meanwhile")
}

// What has the same time is told apart by its ID.
func TestPagesOrderEqualTimesByID(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: f.createAgent(t, ada).ID, Total: 10, Window: 10}
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
			require.False(t, seen[e.ID], "twice")
			seen[e.ID] = true
			page.After = &Cursor{At: e.CreatedAt, ID: e.ID}
		}
	}
	require.Len(t, seen, 10)
}

func TestFiltersCombine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	submit := func(labels map[string]string) execution.Execution {
		ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x", Labels: execution.Labels(labels)})
		require.NoError(t, err)
		return ch.Execution
	}
	prod := submit(map[string]string{"env": "prod", "team": "a=b"})
	test := submit(map[string]string{"env": "test"})
	plain := submit(nil)
	turn := f.submitTurn(t, "", "hello")
	f.mustApply(t, test.Ref(), execution.CancelRequested{})
	for name, tc := range map[string]struct {
		filter Filter
		want   []execution.Execution
	}{
		"nothing":           {Filter{}, []execution.Execution{turn, plain, test, prod}},
		"a status":          {Filter{Status: execution.Canceled}, []execution.Execution{test}},
		"a kind":            {Filter{Kind: execution.KindConversation}, []execution.Execution{turn}},
		"an agent":          {Filter{AgentID: a.ID}, []execution.Execution{plain, test, prod}},
		"a conversation":    {Filter{ConversationID: turn.ConversationID}, []execution.Execution{turn}},
		"a label":           {Filter{Label: "env=prod"}, []execution.Execution{prod}},
		"a value with =":    {Filter{Label: "team=a=b"}, []execution.Execution{prod}},
		"half a label":      {Filter{Label: "env="}, nil},
		"several":           {Filter{AgentID: a.ID, Status: execution.Queued, Kind: execution.KindRun}, []execution.Execution{plain, prod}},
		"several, a label":  {Filter{AgentID: a.ID, Status: execution.Queued, Label: "env=prod"}, []execution.Execution{prod}},
		"what never meets":  {Filter{Status: execution.Canceled, Label: "env=prod"}, nil},
		"another's agent's": {Filter{AgentID: f.createAgent(t, bob).ID}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := f.Executions(t.Context(), ada, tc.filter, Page{Limit: 10})
			require.NoError(t, err)
			var want, got []string
			for _, e := range tc.want {
				want = append(want, e.ID)
			}
			for _, e := range found {
				got = append(got, e.ID)
			}
			require.Equal(t, want, got)
		})
	}
}

func TestLabelsRoundTrip(t *testing.T) {
	for _, labels := range []map[string]string{{}, {"a": ""}, {"b": "=", "a": "x=y=z", "env/zone.1": "é 한"}} {
		back := map[string]string{}
		for _, label := range execution.Labels(labels) {
			name, value := label.Cut()
			back[name] = value
		}
		require.Equal(t, labels, back, fmt.Sprint(labels))
	}
}

// Firestore answers a filter in an order only with an index for it; the
// emulator makes its own.
func TestEveryFilterHasIndex(t *testing.T) {
	data, err := os.ReadFile("../../infra/firestore.indexes.json")
	require.NoError(t, err)
	var file struct {
		Indexes []struct {
			CollectionGroup string
			Fields          []struct{ FieldPath, Order, ArrayConfig string }
		}
	}
	require.NoError(t, json.Unmarshal(data, &file))
	indexed := map[string]bool{}
	for _, index := range file.Indexes {
		if f := index.Fields; index.CollectionGroup == executions && len(f) == 2 && f[1].FieldPath == "createdAt" && f[1].Order == "DESCENDING" {
			indexed[f[0].FieldPath+f[0].ArrayConfig] = true
		}
	}
	require.Equal(t, map[string]bool{
		"status": true, "kind": true, "agentId": true, "conversationId": true, "batchId": true, "labelsCONTAINS": true,
	}, indexed)
}
