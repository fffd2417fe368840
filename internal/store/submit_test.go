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

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestSubmissionsSurviveFirestoreRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var run, turn execution.Execution
	t.Run("before", func(t *testing.T) {
		f := fixture{Store: New(emulatortest.StartFirestore(t, firestoreemulator.Options{Dir: dir}).Client)}
		run = f.getExecution(t, f.submitRun(t, ada))
		turn = f.submitTurn(t, "", "hello")
	})
	t.Run("after", func(t *testing.T) {
		f := fixture{Store: New(emulatortest.StartFirestore(t, firestoreemulator.Options{Dir: dir}).Client)}
		require.Empty(t, cmp.Diff(run, f.getExecution(t, run.Ref())))
		require.Equal(t, execution.Queued, f.getExecution(t, turn.Ref()).Status)
		require.Equal(t, "hello", f.listMessages(t, turn)[0].Text)
		c, err := f.Conversation(t.Context(), ada, turn.ConversationID)
		require.NoError(t, err)
		require.Equal(t, []string{turn.ID}, c.Pending)
	})
}

func TestSubmitRunCopiesAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "one two"})
	require.NoError(t, err)
	e := f.getExecution(t, ch.Execution.Ref())
	require.Equal(t, []execution.Ref{e.Ref()}, ch.Notify)
	require.Equal(t, execution.KindRun, e.Kind)
	require.Equal(t, execution.Queued, e.Status)
	require.Equal(t, a.ID, e.AgentID)
	require.Equal(t, a.Timeout, e.Timeout)
	require.Equal(t, execution.Task{Runtime: a.Runtime, Model: a.Model, Instructions: a.Instructions, Input: "one two"}, e.Task)

	ch, err = f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x", Timeout: time.Second})
	require.NoError(t, err)
	require.Equal(t, time.Second, f.getExecution(t, ch.Execution.Ref()).Timeout)
}

func TestSubmitRunUnknownAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: "agt_none", Input: "x"})
	require.Equal(t, &NotFoundError{Resource: "agent", ID: "agt_none"}, err)
	list, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Empty(t, list)
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
	second, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: first.Execution.ConversationID, Message: "again", Builder: builder})
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

// Whoever looks while turns are submitted sees each whole or not at all: its
// execution, its message and its place in the conversation.
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
	t.Logf("%d looks", reads)
}

// look counts, at one moment, the turns of a conversation, its messages, and the tenant's executions.
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
		require.Equal(t, c.Pending[i], m.ExecutionID, "waiting in the order of the messages")
	}
}
