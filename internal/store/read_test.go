package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestDueAcrossTenantsOldestFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	due := func(limit int) []execution.Ref {
		t.Helper()
		now, err := f.Now(t.Context())
		require.NoError(t, err)
		refs, err := f.DueExecutions(t.Context(), now, limit)
		require.NoError(t, err)
		return refs
	}
	adaRef := f.submitRun(t, ada)
	f.clock.Advance(time.Second)
	bobRef := f.submitRun(t, bob)
	f.clock.Advance(time.Second)
	ended := f.submitRun(t, ada)
	f.mustApply(t, ended, execution.CancelRequested{})
	require.Empty(t, due(10), "just queued")

	f.clock.Advance(44 * time.Second)
	require.Equal(t, []execution.Ref{adaRef, bobRef}, due(10), "queued, and nobody has come")
	require.Equal(t, []execution.Ref{adaRef}, due(1))

	f.mustApply(t, adaRef, claimEvent)
	require.Equal(t, []execution.Ref{bobRef}, due(10), "running")
	f.mustApply(t, bobRef, execution.Expired{})
	require.Empty(t, due(10), "announced again")

	f.clock.Advance(lease)
	require.Equal(t, []execution.Ref{adaRef}, due(10), "its lease has run out")
	f.mustApply(t, adaRef, execution.Expired{})
	f.mustApply(t, adaRef, claimEvent)
	f.mustApply(t, adaRef, execution.AttemptFailed{Attempt: 2})
	require.Empty(t, due(10), "it waits for its back-off")
	f.clock.Advance(5 * time.Second)
	require.Equal(t, []execution.Ref{adaRef}, due(10))
}

// Another's ID is an ID that never was, in every way to use one.
func TestOtherTenantsResourcesNotFound(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	turn := f.submitTurn(t, "", "secret")
	ctx := t.Context()
	for name, use := range map[string]func(tenant, agent, conversation string, ref execution.Ref) error{
		"read the agent": func(o, a, _ string, _ execution.Ref) error { _, err := f.Agent(ctx, o, a); return err },
		"run the agent": func(o, a, _ string, _ execution.Ref) error {
			_, err := f.SubmitRun(ctx, RunRequest{Tenant: o, AgentID: a})
			return err
		},
		"talk with the agent": func(o, a, _ string, _ execution.Ref) error {
			_, err := f.SubmitTurn(ctx, TurnRequest{Tenant: o, AgentID: a})
			return err
		},
		"read the conversation": func(o, _, c string, _ execution.Ref) error { _, err := f.Conversation(ctx, o, c); return err },
		"go on with it": func(o, _, c string, _ execution.Ref) error {
			_, err := f.SubmitTurn(ctx, TurnRequest{Tenant: o, ConversationID: c})
			return err
		},
		"read the execution": func(_, _, _ string, r execution.Ref) error { _, err := f.Execution(ctx, r); return err },
		"cancel the execution": func(_, _, _ string, r execution.Ref) error {
			_, err := f.Apply(ctx, r, execution.CancelRequested{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			otherTenantErr := use(bob, a.ID, turn.ConversationID, execution.Ref{Tenant: bob, ID: turn.ID})
			missingErr := use(bob, "x", "x", execution.Ref{Tenant: bob, ID: "x"})
			var notFound, missing *NotFoundError
			require.ErrorAs(t, otherTenantErr, &notFound)
			require.ErrorAs(t, missingErr, &missing)
			require.Equal(t, missing.Resource, notFound.Resource)
		})
	}
	require.Equal(t, execution.Queued, f.getExecution(t, turn.Ref()).Status)
	messages, err := f.Messages(ctx, bob, turn.ConversationID, 0, 10)
	require.NoError(t, err)
	require.Empty(t, messages)
	conversations, err := f.Conversations(ctx, bob, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, conversations)
	executions, err := f.Executions(ctx, bob, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, executions)
	agents, err := f.Agents(ctx, bob, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, agents)
}

func TestListsNewestFirst(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	oldest := f.submitTurn(t, "", "oldest")
	newest := f.submitTurn(t, "", "newest")
	executions, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{newest.ID, oldest.ID}, []string{executions[0].ID, executions[1].ID})

	f.submitTurn(t, oldest.ConversationID, "news")
	conversations, err := f.Conversations(t.Context(), ada, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, conversations, 2)
	require.Equal(t, oldest.ConversationID, conversations[0].ID, "the one with the newest message")
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

func TestMessagesNewestInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var last execution.Execution
	for i := range 12 { // two digits: the order is of numbers, not of letters
		last = f.submitTurn(t, last.ConversationID, fmt.Sprintf("ask %d", i+1))
		f.mustApply(t, last.Ref(), claimEvent)
		f.mustApply(t, last.Ref(), successEvent(1, fmt.Sprintf("reply %d", i+1)))
	}
	texts := func(before, limit int) (texts []string) {
		found, err := f.Messages(t.Context(), ada, last.ConversationID, before, limit)
		require.NoError(t, err)
		for _, m := range found {
			texts = append(texts, m.Text)
		}
		return texts
	}
	require.Len(t, texts(0, 100), 24)
	require.Equal(t, []string{"ask 11", "reply 11", "ask 12", "reply 12"}, texts(0, 4))
	require.Equal(t, []string{"reply 9", "ask 10", "reply 10"}, texts(11, 3))
	require.Empty(t, texts(1, 10))
}
