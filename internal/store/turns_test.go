package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestClaimLaterTurnBeforeEarlierEnds(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "first")
	second := f.submitTurn(t, first.ConversationID, "second")

	claimSecond := func() error {
		_, err := f.Apply(t.Context(), second.Ref(), claimEvent)
		return err
	}
	require.ErrorIs(t, claimSecond(), ErrEarlierTurnPending)
	require.Equal(t, second.StartDeadline(), *f.getExecution(t, second.Ref()).Due, "the first turn publishes it")
	f.mustApply(t, first.Ref(), claimEvent)
	require.ErrorIs(t, claimSecond(), ErrEarlierTurnPending, "the first turn is running")
	f.mustApply(t, first.Ref(), execution.AttemptFailed{Attempt: 1})
	require.ErrorIs(t, claimSecond(), ErrEarlierTurnPending, "the first turn waits for its next attempt")
	require.Zero(t, f.getExecution(t, second.Ref()).Attempt)

	f.mustApply(t, first.Ref(), claimEvent)
	ch := f.mustApply(t, first.Ref(), successEvent(2, "one"))
	require.Equal(t, []execution.Ref{second.Ref()}, madeReady(ch), "it is the next turn")
	due := *f.getExecution(t, second.Ref()).Due
	require.WithinDuration(t, ch.Execution.FinishedAt.Add(execution.RenotifyInterval), due, time.Second, "its notification may be lost")
	require.NoError(t, claimSecond())
}

// Every end of a turn stores a reply and names the next turn.
func TestFinishedTurnStoresReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	failed := (&execution.Failure{Code: execution.CodeAgentError}).Ending(execution.Usage{})
	failed.PartialText = "I look"
	for name, end := range map[string]struct {
		events  []execution.Event
		code    execution.Code // of the reply; empty: the reply is a text
		partial string         // of a reply without an answer
	}{
		"success":             {[]execution.Event{claimEvent, successEvent(1, "done")}, "", ""},
		"failure":             {[]execution.Event{claimEvent, execution.JobEnded{Attempt: 1, Ending: failed}}, execution.CodeAgentError, "I look"},
		"canceled in queue":   {[]execution.Event{execution.CancelRequested{}}, execution.CodeCanceled, ""},
		"canceled, then lost": {[]execution.Event{claimEvent, execution.CancelRequested{}, execution.HandedBack{Attempt: 1}}, execution.CodeCanceled, ""},
		"attempts exhausted": {[]execution.Event{
			claimEvent, execution.AttemptFailed{Attempt: 1}, claimEvent, execution.AttemptFailed{Attempt: 2}, claimEvent, execution.AttemptFailed{Attempt: 3},
		}, execution.CodeAttemptsExhausted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			first := f.submitTurn(t, "", "first")
			second := f.submitTurn(t, first.ConversationID, "second")
			var ch execution.Change
			for _, ev := range end.events {
				require.Len(t, f.listMessages(t, first), 2, "no reply before the end")
				ch = f.mustApply(t, first.Ref(), ev)
			}
			require.Equal(t, []execution.Ref{second.Ref()}, madeReady(ch))
			replies := f.listMessages(t, first)
			require.Len(t, replies, 3)
			reply := replies[1]
			require.Equal(t, execution.RoleAssistant, reply.Role)
			require.Equal(t, first.ID, reply.ExecutionID)
			if end.code == "" {
				require.Equal(t, "done", reply.Text)
				require.Nil(t, reply.Failure)
			} else {
				require.Equal(t, end.code, reply.Failure.Code)
				require.Equal(t, end.partial, reply.Partial)
			}
			require.Empty(t, cmp.Diff(f.getExecution(t, first.Ref()).FinishedAt, &reply.CreatedAt))
		})
	}
}

// The cancellation of the second turn does not affect the running first turn.
func TestCancelLaterTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "first")
	second := f.submitTurn(t, first.ConversationID, "second")
	third := f.submitTurn(t, first.ConversationID, "third")
	f.mustApply(t, first.Ref(), claimEvent)
	require.Empty(t, f.mustApply(t, second.Ref(), execution.CancelRequested{}).Notify, "the first turn has been notified before")
	require.Equal(t, execution.Canceled, f.getExecution(t, second.Ref()).Status)
	ch := f.mustApply(t, first.Ref(), successEvent(1, "one"))
	require.Equal(t, []execution.Ref{third.Ref()}, madeReady(ch))
	var transcript []string
	for _, m := range f.listMessages(t, first) {
		transcript = append(transcript, string(m.Role)+" "+m.Text)
	}
	require.Equal(t, []string{"user first", "assistant one", "user second", "assistant ", "user third"}, transcript)
}

// If the response to the end of a turn is lost, the repeated event returns the next turn, so that the caller can
// publish it.
func TestRepeatedFinishReturnsNextTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "first")
	second := f.submitTurn(t, first.ConversationID, "second")
	f.mustApply(t, first.Ref(), claimEvent)
	f.mustApply(t, first.Ref(), successEvent(1, "one")) // the response to this one is lost

	ch, err := f.Apply(t.Context(), first.Ref(), successEvent(1, "one"))
	require.ErrorIs(t, err, execution.ErrTerminal)
	require.Equal(t, []execution.Ref{second.Ref()}, madeReady(ch))
	require.Equal(t, "one", ch.Execution.Result.Text)

	f.mustApply(t, second.Ref(), execution.CancelRequested{})
	ch, err = f.Apply(t.Context(), first.Ref(), successEvent(1, "one"))
	require.ErrorIs(t, err, execution.ErrTerminal)
	require.Empty(t, ch.Notify, "no turn is pending")
}

func TestSubmitTurnSelectsBuilderOrAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	builder := execution.Task{Runtime: "offline", Instructions: "build", Schema: `{"type":"object"}`, Input: "replaced"}
	ch, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, Message: "hello", Builder: builder})
	require.NoError(t, err)
	e := f.getExecution(t, ch.Execution.Ref())
	want := builder
	want.Input = "hello"
	require.Equal(t, want, e.Task)
	require.Equal(t, execution.DefaultTimeout, e.Timeout)

	a := f.createAgent(t, ada)
	first, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, AgentID: a.ID, Message: "hello", Builder: builder})
	require.NoError(t, err)
	second, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: first.Execution.ConversationID, Message: "second", Builder: builder})
	require.NoError(t, err)
	for _, ch := range []execution.Change{first, second} {
		e := f.getExecution(t, ch.Execution.Ref())
		require.Equal(t, a.ID, e.AgentID)
		require.Equal(t, a.Instructions, e.Task.Instructions)
		require.Empty(t, e.Task.Schema)
		require.Equal(t, a.Timeout, e.Timeout)
	}
}

func TestRejectedTurnStoresNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "hello")
	a := f.createAgent(t, ada)

	_, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: "con_none", Message: "x"})
	require.Equal(t, &NotFoundError{Resource: "conversation", ID: "con_none"}, err)
	_, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, AgentID: "agt_none", Message: "x"})
	require.Equal(t, &NotFoundError{Resource: "agent", ID: "agt_none"}, err)
	_, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: first.ConversationID, AgentID: a.ID, Message: "x"})
	require.ErrorIs(t, err, ErrAgentMismatch)
	for range conversation.MaxPending - 1 {
		f.submitTurn(t, first.ConversationID, "more")
	}
	_, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: first.ConversationID, Message: "too many"})
	require.ErrorIs(t, err, conversation.ErrTooManyPending)

	require.Len(t, f.listMessages(t, first), conversation.MaxPending)
	executions, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, executions, conversation.MaxPending)
	conversations, err := f.Conversations(t.Context(), ada, Page{Limit: 1000})
	require.NoError(t, err)
	require.Len(t, conversations, 1)
}

// A reader sees each turn completely or not at all: its execution, its message and its place in the conversation.
func TestSubmitTurnIsAtomic(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "hello")
	const turns = 20

	var g errgroup.Group
	g.Go(func() error {
		for i := 1; i < turns; i++ {
			if _, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: first.ConversationID, Message: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	reads := 0
	for seen := 0; seen < turns; reads++ {
		accepted, messages, executions := f.countTurnDocuments(t, first)
		require.Equal(t, accepted, messages)
		require.Equal(t, accepted, executions)
		require.GreaterOrEqual(t, accepted, seen)
		seen = accepted
	}
	require.NoError(t, g.Wait())
	t.Logf("%d reads", reads)
}

// countTurnDocuments counts, in one transaction, the turns of a conversation, its messages, and the tenant's
// executions.
func (f fixture) countTurnDocuments(t *testing.T, e execution.Execution) (accepted, messageCount, submitted int) {
	t.Helper()
	require.NoError(t, f.client.RunTransaction(t.Context(), func(_ context.Context, tx *firestore.Transaction) error {
		c := conversation.Conversation{}
		if _, err := read(tx.Get, f.conversationDoc(e.Tenant, e.ConversationID), &c); err != nil {
			return err
		}
		found, err := tx.Documents(f.collection(e.Tenant, conversations).Doc(c.ID).Collection(messages)).GetAll()
		if err != nil {
			return err
		}
		all, err := tx.Documents(f.collection(e.Tenant, executions)).GetAll()
		accepted, messageCount, submitted = c.Turns, len(found), len(all)
		return err
	}, firestore.ReadOnly))
	return accepted, messageCount, submitted
}

func TestConcurrentTurnsAreOrdered(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "0")
	var g errgroup.Group
	for i := range 9 {
		g.Go(func() error {
			_, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: first.ConversationID, Message: fmt.Sprint(i + 1)})
			return err
		})
	}
	require.NoError(t, g.Wait())
	c, err := f.Conversation(t.Context(), ada, first.ConversationID)
	require.NoError(t, err)
	transcript := f.listMessages(t, first)
	require.Len(t, transcript, 10)
	for i, m := range transcript {
		require.Equal(t, i+1, m.Turn)
		require.Equal(t, c.Pending[i], m.ExecutionID, "pending in the order of the messages")
	}
}
