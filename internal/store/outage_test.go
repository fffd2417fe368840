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

	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestSubmissionsSurviveFirestoreRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var run, turn execution.Execution
	t.Run("before", func(t *testing.T) {
		f := fixture{Store: New(strict.StartFirestore(t, firestoreemulator.Options{Dir: dir}).Client)}
		run = f.getExecution(t, f.submitRun(t, ada))
		turn = f.submitTurn(t, "", "hello")
	})
	t.Run("after", func(t *testing.T) {
		f := fixture{Store: New(strict.StartFirestore(t, firestoreemulator.Options{Dir: dir}).Client)}
		require.Empty(t, cmp.Diff(run, f.getExecution(t, run.Ref())))
		require.Equal(t, execution.Queued, f.getExecution(t, turn.Ref()).Status)
		require.Equal(t, "hello", f.listMessages(t, turn)[0].Text)
		c, err := f.Conversation(t.Context(), ada, turn.ConversationID)
		require.NoError(t, err)
		require.Equal(t, []string{turn.ID}, c.Pending)
	})
}

// During an outage every method returns ErrUnavailable within the caller's deadline. After the outage it works again.
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
		"Due":           func(ctx context.Context) error { _, err := f.DueExecutions(ctx, time.Now(), new(Scan), 10); return err },
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
		start := time.Now()
		err := method(ctx)
		cancel()
		require.ErrorIs(t, err, ErrUnavailable, name)
		require.Less(t, time.Since(start), 2*time.Second, name)
	}
	f.firestore.Start()
	for name, method := range methods {
		require.NoError(t, method(t.Context()), name)
	}
}

// A canceled call is not an outage.
func TestCanceledIsNotUnavailable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Now(ctx)
	require.Error(t, err)
	require.NotErrorIs(t, err, ErrUnavailable)
}

// commitFaults intercepts the calls of the client and makes commits fail.
type commitFaults struct {
	loseResponses atomic.Int32 // number of commits whose response is lost
	rejectCommits atomic.Int32 // number of commits that do not reach the emulator
}

func (c *commitFaults) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if !strings.HasSuffix(method, "/Commit") {
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	if c.rejectCommits.Add(-1) >= 0 {
		return status.Error(codes.Unavailable, "the request was lost")
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil && c.loseResponses.Add(-1) >= 0 {
		return status.Error(codes.Unavailable, "the response was lost")
	}
	return err
}

func newFixtureWithFaults(t *testing.T, faults *commitFaults) fixture {
	t.Helper()
	f := strict.StartFirestore(t, firestoreemulator.Options{}, grpc.WithChainUnaryInterceptor(faults.intercept))
	return fixture{Store: New(f.Client), firestore: f}
}

// If a commit or its response is lost, a turn is finished with exactly one reply, or not at all. Repeating the event
// finishes it.
func TestFinishAndReplyAtomicDuringFaults(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]func(*commitFaults){
		"one commit":            func(c *commitFaults) { c.rejectCommits.Store(1) },
		"one response":          func(c *commitFaults) { c.loseResponses.Store(1) },
		"commits and responses": func(c *commitFaults) { c.rejectCommits.Store(2); c.loseResponses.Store(2) },
		"all commits":           func(c *commitFaults) { c.rejectCommits.Store(1 << 20) },
		"all responses":         func(c *commitFaults) { c.loseResponses.Store(1 << 20) },
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
			t.Logf("with the fault: %v", err)
			finished := f.getExecution(t, turn.Ref()).Status.Terminal()
			require.Equal(t, finished, len(f.listMessages(t, turn)) == 2)

			c.rejectCommits.Store(0)
			c.loseResponses.Store(0)
			_, err = f.Apply(t.Context(), turn.Ref(), successEvent(1, "done"))
			if finished {
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

// A submission whose response is lost is stored once and completely, and succeeds.
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
	ch, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, ConversationID: first.ConversationID, Message: "second"})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(ch.Execution, f.getExecution(t, ch.Execution.Ref()), cmpopts.IgnoreFields(execution.Execution{}, "Ready")))

	all, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 3)
	require.Len(t, f.listMessages(t, first), 2)
	conversation, err := f.Conversation(t.Context(), ada, first.ConversationID)
	require.NoError(t, err)
	require.Len(t, conversation.Pending, 2)
}

// Apply recognizes its own write if the response was lost.
func TestApplyWithLostResponseDetectsOwnWrite(t *testing.T) {
	t.Parallel()
	var c commitFaults
	f := newFixtureWithFaults(t, &c)
	ref := f.submitRun(t, ada)
	for _, ev := range []execution.Event{
		claimEvent, execution.HandedBack{Attempt: 1},
		execution.Claimed{Executor: "y", ClaimID: "2"}, execution.CancelRequested{}, successEvent(2, "done"),
	} {
		c.loseResponses.Store(1)
		ch, err := f.Apply(t.Context(), ref, ev)
		require.NoError(t, err, "%T", ev)
		require.Zero(t, c.loseResponses.Load(), "%T: the response was lost", ev)
		require.Empty(t, cmp.Diff(ch.Execution, f.getExecution(t, ref), cmpopts.IgnoreFields(execution.Execution{}, "Ready")), "%T", ev)
	}
	require.Equal(t, 2, f.getExecution(t, ref).Attempt)
}
