package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestConcurrentClaimsHaveOneWinner(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var g errgroup.Group
	var won, leased atomic.Int32
	for i := range 100 {
		g.Go(func() error {
			_, err := f.applyUntilAvailable(ctx, ref, execution.Claimed{Executor: "x1", ClaimID: fmt.Sprint(i), Lease: lease})
			switch {
			case err == nil:
				won.Add(1)
			case errors.Is(err, execution.ErrLeased):
				leased.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, won.Load())
	require.EqualValues(t, 99, leased.Load())
	e := f.getExecution(t, ref)
	require.Equal(t, 1, e.Attempt)
	require.Equal(t, execution.Running, e.Status)
}

// An attempt that was paused until its lease was lost changes nothing when it
// comes back, neither before nor after the next attempt has begun or ended.
func TestAttemptWithLostLeaseCannotChangeExecution(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.mustApply(t, ref, claimEvent)

	requireUnchanged := func() {
		t.Helper()
		before := f.getExecution(t, ref)
		want := execution.ErrLeaseLost
		if before.Status.Terminal() {
			want = execution.ErrTerminal
		}
		for _, ev := range []execution.Event{
			successEvent(1, "late"), execution.Renewed{Attempt: 1, Lease: lease}, execution.AttemptFailed{Attempt: 1}, execution.HandedBack{Attempt: 1},
		} {
			_, err := f.Apply(t.Context(), ref, ev)
			require.ErrorIs(t, err, want, "%T", ev)
		}
		require.Empty(t, cmp.Diff(before, f.getExecution(t, ref)))
	}
	f.clock.Advance(lease + time.Second)
	requireUnchanged() // still running, with a lease that has run out
	ch := f.mustApply(t, ref, execution.Expired{})
	require.Equal(t, []execution.Ref{ref}, ch.Notify)
	require.Equal(t, 1, ch.Execution.FailedAttempts)
	requireUnchanged() // queued
	f.mustApply(t, ref, claimEvent)
	requireUnchanged() // another attempt runs
	f.mustApply(t, ref, successEvent(2, "in time"))
	requireUnchanged() // ended
	require.Equal(t, "in time", f.getExecution(t, ref).Result.Text)
}

func TestHeartbeatOnlyRenewsLease(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.mustApply(t, ref, claimEvent)
	before := f.getExecution(t, ref)
	for range 4 {
		f.clock.Advance(lease - time.Second)
		f.mustApply(t, ref, execution.Renewed{Attempt: 1, Lease: lease})
	}
	after := f.getExecution(t, ref)
	require.Greater(t, after.Lease.Expires.Sub(before.Lease.Expires), 4*(lease-2*time.Second))
	require.True(t, after.Lease.Expires.Equal(*after.Due))
	after.Lease, after.Due = before.Lease, before.Due
	require.Empty(t, cmp.Diff(before, after))
}

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
	f.mustApply(t, first.Ref(), claimEvent)
	require.ErrorIs(t, claimSecond(), ErrEarlierTurnPending, "the first runs")
	f.mustApply(t, first.Ref(), execution.AttemptFailed{Attempt: 1})
	require.ErrorIs(t, claimSecond(), ErrEarlierTurnPending, "the first waits for its next attempt")
	require.Zero(t, f.getExecution(t, second.Ref()).Attempt)

	f.mustApply(t, first.Ref(), claimEvent)
	ch := f.mustApply(t, first.Ref(), successEvent(2, "one"))
	require.Equal(t, []execution.Ref{second.Ref()}, ch.Notify, "its turn has come")
	require.NoError(t, claimSecond())
}

// However a turn ends, it has its reply at once and gives way to the next.
func TestFinishedTurnStoresReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for name, end := range map[string]struct {
		events []execution.Event
		code   execution.Code // of the reply; empty: it is a text
	}{
		"success":              {[]execution.Event{claimEvent, successEvent(1, "done")}, ""},
		"failure":              {[]execution.Event{claimEvent, execution.Finished{Attempt: 1, Ending: (&execution.Failure{Code: execution.CodeAgentError}).Ending(execution.Usage{})}}, execution.CodeAgentError},
		"cancelled in queue":   {[]execution.Event{execution.CancelRequested{}}, execution.CodeCanceled},
		"cancelled, then lost": {[]execution.Event{claimEvent, execution.CancelRequested{}, execution.HandedBack{Attempt: 1}}, execution.CodeCanceled},
		"attempts exhausted": {[]execution.Event{
			claimEvent, execution.AttemptFailed{Attempt: 1}, claimEvent, execution.AttemptFailed{Attempt: 2}, claimEvent, execution.AttemptFailed{Attempt: 3},
		}, execution.CodeAttemptsExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			first := f.submitTurn(t, "", "first")
			second := f.submitTurn(t, first.ConversationID, "second")
			var ch execution.Change
			for _, ev := range end.events {
				require.Len(t, f.listMessages(t, first), 2, "no reply before the end")
				ch = f.mustApply(t, first.Ref(), ev)
			}
			require.Equal(t, []execution.Ref{second.Ref()}, ch.Notify)
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
			}
			require.Empty(t, cmp.Diff(f.getExecution(t, first.Ref()).FinishedAt, &reply.CreatedAt))
		})
	}
}

// A second turn may be cancelled while the first runs; that neither ends nor
// hinders the first.
func TestCancelLaterTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "first")
	second := f.submitTurn(t, first.ConversationID, "second")
	third := f.submitTurn(t, first.ConversationID, "third")
	f.mustApply(t, first.Ref(), claimEvent)
	require.Empty(t, f.mustApply(t, second.Ref(), execution.CancelRequested{}).Notify, "the first has been announced before")
	require.Equal(t, execution.Canceled, f.getExecution(t, second.Ref()).Status)
	ch := f.mustApply(t, first.Ref(), successEvent(1, "one"))
	require.Equal(t, []execution.Ref{third.Ref()}, ch.Notify)
	var transcript []string
	for _, m := range f.listMessages(t, first) {
		transcript = append(transcript, string(m.Role)+" "+m.Text)
	}
	require.Equal(t, []string{"user first", "assistant one", "user second", "assistant ", "user third"}, transcript)
}

// Who ends a turn and loses the answer finds that it has ended, and what to announce.
func TestRepeatedFinishReturnsNextTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	one := f.submitTurn(t, "", "first")
	second := f.submitTurn(t, one.ConversationID, "second")
	f.mustApply(t, one.Ref(), claimEvent)
	f.mustApply(t, one.Ref(), successEvent(1, "one")) // nobody gets to know of this

	ch, err := f.Apply(t.Context(), one.Ref(), successEvent(1, "one"))
	require.ErrorIs(t, err, execution.ErrTerminal)
	require.Equal(t, []execution.Ref{second.Ref()}, ch.Notify)
	require.Equal(t, "one", ch.Execution.Result.Text)

	f.mustApply(t, second.Ref(), execution.CancelRequested{})
	ch, err = f.Apply(t.Context(), one.Ref(), successEvent(1, "one"))
	require.ErrorIs(t, err, execution.ErrTerminal)
	require.Empty(t, ch.Notify, "nothing waits any more")
}

// Cancellation, success and the end of a cancelled job meet on a running turn:
// one of them is its end, for good.
func TestCancelDuringFinish(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	canceled := execution.Finished{Attempt: 1, Ending: execution.NewCanceledFailure().Ending(execution.Usage{})}
	turns := make([]execution.Execution, 200)
	for i := range turns {
		turns[i] = f.submitTurn(t, "", "hello")
		// The lease outlasts the race, however slow the machine.
		f.mustApply(t, turns[i].Ref(), execution.Claimed{Executor: "x1", Lease: 10 * time.Minute})
	}
	var race errgroup.Group
	ends := make([]atomic.Int32, len(turns))
	for i := range turns {
		for _, ev := range []execution.Event{successEvent(1, "done"), execution.CancelRequested{}, canceled} {
			race.Go(func() error {
				ch, err := f.applyUntilAvailable(t.Context(), turns[i].Ref(), ev)
				if errors.Is(err, execution.ErrTerminal) {
					return nil
				}
				if ch.Execution.Status.Terminal() {
					ends[i].Add(1)
				}
				return err
			})
		}
	}
	require.NoError(t, race.Wait())

	count := map[execution.Status]int{}
	for i := range turns {
		require.EqualValues(t, 1, ends[i].Load(), "it ends once")
		ended := f.getExecution(t, turns[i].Ref())
		require.True(t, ended.Status.Terminal())
		require.Equal(t, ended.Status == execution.Succeeded, ended.Result != nil)
		require.Equal(t, ended.Status == execution.Canceled, ended.Failure != nil)
		require.Len(t, f.listMessages(t, ended), 2, "one reply")
		count[ended.Status]++
		if i%10 != 0 {
			continue
		}
		for _, ev := range []execution.Event{successEvent(1, "again"), execution.CancelRequested{}, canceled, claimEvent, execution.Expired{}} {
			_, err := f.Apply(t.Context(), ended.Ref(), ev)
			require.ErrorIs(t, err, execution.ErrTerminal)
		}
		require.Empty(t, cmp.Diff(ended, f.getExecution(t, ended.Ref())), "it never changes again")
	}
	t.Log(count)
}

func TestApplyInvalidEventReturnsDomainError(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	_, err := f.Apply(t.Context(), ref, execution.Expired{})
	require.ErrorIs(t, err, execution.ErrNotDue)
	_, err = f.Apply(t.Context(), ref, successEvent(0, "x"))
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	f.mustApply(t, ref, execution.CancelRequested{})
	_, err = f.Apply(t.Context(), ref, claimEvent)
	require.ErrorIs(t, err, execution.ErrTerminal)
	_, err = f.Apply(t.Context(), execution.Ref{Tenant: ada, ID: "exe_none"}, claimEvent)
	require.Equal(t, &NotFoundError{Resource: "execution", ID: "exe_none"}, err)
}

// What was to be written with other documents may have come true by then: a turn
// that was queued when two cancelled it runs, and the first has told it so.
func TestApplyInTransactionWithoutChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	turn := f.submitTurn(t, "", "hello")
	f.mustApply(t, turn.Ref(), claimEvent)
	f.mustApply(t, turn.Ref(), execution.CancelRequested{})
	before := f.getExecution(t, turn.Ref())
	d, err := f.applyInTransaction(t.Context(), turn.Ref(), execution.CancelRequested{})
	require.NoError(t, err)
	require.True(t, d.Execution.CancelRequested)
	require.Empty(t, cmp.Diff(before, f.getExecution(t, turn.Ref())))
}
