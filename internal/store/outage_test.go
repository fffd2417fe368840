package store

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Every method says so, within the caller's time, when Firestore is away, and
// works again once it is back.
func TestUnavailableDuringFirestoreOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	turn := f.submitTurn(t, "", "hello")
	methods := map[string]func(context.Context) error{
		"Now":         func(ctx context.Context) error { _, err := f.Now(ctx); return err },
		"CreateAgent": func(ctx context.Context) error { return f.CreateAgent(ctx, &agent.Agent{Tenant: ada, Name: "B"}, nil) },
		"Agent":       func(ctx context.Context) error { _, err := f.Agent(ctx, ada, a.ID); return err },
		"Agents":      func(ctx context.Context) error { _, err := f.Agents(ctx, ada, Page{Limit: 10}); return err },
		"SubmitRun": func(ctx context.Context) error {
			_, err := f.SubmitRun(ctx, RunRequest{Tenant: ada, AgentID: a.ID})
			return err
		},
		"SubmitTurn": func(ctx context.Context) error { _, err := f.SubmitTurn(ctx, TurnRequest{Tenant: ada}); return err },
		"Apply":      func(ctx context.Context) error { _, err := f.Apply(ctx, turn.Ref(), claimEvent); return err },
		"Execution":  func(ctx context.Context) error { _, err := f.Execution(ctx, turn.Ref()); return err },
		"Executions": func(ctx context.Context) error {
			_, err := f.Executions(ctx, ada, Filter{}, Page{Limit: 10})
			return err
		},
		"Due":           func(ctx context.Context) error { _, err := f.DueExecutions(ctx, time.Now(), 10); return err },
		"Conversation":  func(ctx context.Context) error { _, err := f.Conversation(ctx, ada, turn.ConversationID); return err },
		"Conversations": func(ctx context.Context) error { _, err := f.Conversations(ctx, ada, Page{Limit: 10}); return err },
		"Messages": func(ctx context.Context) error {
			_, err := f.Messages(ctx, ada, turn.ConversationID, 0, 10)
			return err
		},
	}
	f.firestore.Stop()
	for name, method := range methods {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		began := time.Now()
		err := method(ctx)
		cancel()
		require.ErrorIs(t, err, ErrUnavailable, name)
		require.Less(t, time.Since(began), 2*time.Second, name)
	}
	f.firestore.Start()
	for name, method := range methods {
		require.NoError(t, method(t.Context()), name)
	}
}

// A caller that gave up is no fault of Firestore's.
func TestCanceledIsNotUnavailable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Now(ctx)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrUnavailable)
}

// commits stands between client and emulator, and may spoil the next commit.
type commitFaults struct {
	loseResponses atomic.Int32 // so many answers get lost after the commit was done
	rejectCommits atomic.Int32 // so many commits never arrive
}

func (c *commitFaults) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if !strings.HasSuffix(method, "/Commit") {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	if c.rejectCommits.Add(-1) >= 0 {
		return status.Error(codes.Unavailable, "lost on the way")
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil && c.loseResponses.Add(-1) >= 0 {
		return status.Error(codes.Unavailable, "the answer was lost")
	}
	return err
}

func newFixtureWithFaults(t *testing.T, faults *commitFaults) fixture {
	t.Helper()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{}, grpc.WithChainUnaryInterceptor(faults.intercept))
	return fixture{Store: New(f.Client), firestore: f}
}

// Whether a commit or only its answer was lost, a turn is finished with its
// one reply or not at all, and repeating puts it right.
func TestFinishAndReplyAtomicDuringFaults(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]func(*commitFaults){
		"the commit, once":        func(c *commitFaults) { c.rejectCommits.Store(1) },
		"the answer, once":        func(c *commitFaults) { c.loseResponses.Store(1) },
		"the commit and answers":  func(c *commitFaults) { c.rejectCommits.Store(2); c.loseResponses.Store(2) },
		"everything for a while":  func(c *commitFaults) { c.rejectCommits.Store(1 << 20) },
		"all answers for a while": func(c *commitFaults) { c.loseResponses.Store(1 << 20) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c commitFaults
			f := newFixtureWithFaults(t, &c)
			turn := f.submitTurn(t, "", "hello")
			f.mustApply(t, turn.Ref(), claimEvent)

			inject(&c)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			_, err := f.Apply(ctx, turn.Ref(), successEvent(1, "done"))
			t.Logf("the spoilt one: %v", err)
			ended := f.getExecution(t, turn.Ref()).Status.Terminal()
			require.Equal(t, ended, len(f.listMessages(t, turn)) == 2)

			c.rejectCommits.Store(0)
			c.loseResponses.Store(0)
			_, err = f.Apply(t.Context(), turn.Ref(), successEvent(1, "done"))
			if ended {
				require.ErrorIs(t, err, execution.ErrTerminal)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, execution.Succeeded, f.getExecution(t, turn.Ref()).Status)
			require.Len(t, f.listMessages(t, turn), 2)
			conversation, err := f.Conversation(t.Context(), ada, turn.ConversationID)
			require.NoError(t, err)
			require.Empty(t, conversation.Pending)
		})
	}
}

// A submission whose answer got lost is there once, and whole. What is one
// document is known again; a turn is an error to the caller, who was not
// promised anything.
func TestSubmitWithLostResponseStoredOnce(t *testing.T) {
	t.Parallel()
	var c commitFaults
	f := newFixtureWithFaults(t, &c)
	a := f.createAgent(t, ada)
	first := f.submitTurn(t, "", "hello")

	c.loseResponses.Store(1)
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(ch.Execution, f.getExecution(t, ch.Execution.Ref()), cmpopts.IgnoreFields(execution.Execution{}, "Ready")))
	c.loseResponses.Store(1)
	_, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: first.ConversationID, Message: "again"})
	require.Error(t, err)

	all, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.Len(t, f.listMessages(t, first), 2)
	conversation, err := f.Conversation(t.Context(), ada, first.ConversationID)
	require.NoError(t, err)
	require.Len(t, conversation.Pending, 2)
}

// Whoever changes one document knows his change again when its answer was lost.
func TestApplyWithLostResponseDetectsOwnWrite(t *testing.T) {
	t.Parallel()
	var c commitFaults
	f := newFixtureWithFaults(t, &c)
	ref := f.submitRun(t, ada)
	for _, ev := range []execution.Event{
		claimEvent, execution.Renewed{Attempt: 1, Lease: lease}, execution.HandedBack{Attempt: 1},
		execution.Claimed{Executor: "y", ClaimID: "2", Lease: lease}, execution.CancelRequested{}, successEvent(2, "done"),
	} {
		c.loseResponses.Store(1)
		ch, err := f.Apply(t.Context(), ref, ev)
		require.NoError(t, err, "%T", ev)
		require.Zero(t, c.loseResponses.Load(), "%T: the answer was lost", ev)
		require.Empty(t, cmp.Diff(ch.Execution, f.getExecution(t, ref), cmpopts.IgnoreFields(execution.Execution{}, "Ready")), "%T", ev)
	}
	require.Equal(t, 2, f.getExecution(t, ref).Attempt)
}
