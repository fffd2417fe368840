package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
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
			_, err := f.applyUntilAvailable(ctx, ref, execution.Claimed{Executor: "x1", ClaimID: fmt.Sprint(i)})
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

// A paused attempt whose session has expired changes nothing when it continues: neither before the next attempt, nor
// during it, nor after it.
func TestAttemptWithLostLeaseCannotChangeExecution(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.mustApply(t, ref, execution.Claimed{Executor: "x1", Session: "prc_1.1"})

	requireUnchanged := func() {
		t.Helper()
		before := f.getExecution(t, ref)
		want := execution.ErrLeaseLost
		if before.Status.Terminal() {
			want = execution.ErrTerminal
		}
		for _, ev := range []execution.Event{
			execution.JobEnded{Session: "prc_1.1", Attempt: 1, Ending: successEnding("late")},
			execution.AttemptFailed{Session: "prc_1.1", Attempt: 1}, execution.HandedBack{Session: "prc_1.1", Attempt: 1},
			execution.LeaseExpired{Session: "prc_1.1"},
		} {
			_, err := f.Apply(t.Context(), ref, ev)
			require.ErrorIs(t, err, want, "%T", ev)
		}
		require.Empty(t, cmp.Diff(before, f.getExecution(t, ref)))
	}
	ch := f.mustApply(t, ref, execution.LeaseExpired{Session: "prc_1.1"})
	require.Equal(t, []execution.Ref{ref}, madeReady(ch))
	require.Equal(t, 1, ch.Execution.FailedAttempts)
	requireUnchanged() // queued
	f.mustApply(t, ref, execution.Claimed{Executor: "x1", Session: "prc_1.2"})
	requireUnchanged() // another attempt runs
	f.mustApply(t, ref, execution.JobEnded{Session: "prc_1.2", Attempt: 2, Ending: successEnding("in time")})
	requireUnchanged() // finished
	require.Equal(t, "in time", f.getExecution(t, ref).Result.Text)
}

// The tenant is read together with the execution, so a claim is refused from the moment when the tenant is paused.
func TestClaimOfPausedTenantIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	set := func(doc tenant.Tenant) {
		_, err := f.tenantDoc(ada).Set(t.Context(), doc)
		require.NoError(t, err)
	}
	set(tenant.Tenant{Settings: tenant.Settings{Paused: true}})
	_, err := f.Apply(t.Context(), ref, claimEvent)
	require.ErrorIs(t, err, execution.ErrTenantPaused)
	require.True(t, IsRejection(err), "the notification is not needed any more")
	require.Zero(t, f.getExecution(t, ref).Attempt)
	set(tenant.Tenant{Watchers: map[string]time.Time{"prc_1": f.clock.Now().Add(time.Hour)}})
	ch := f.mustApply(t, ref, claimEvent)
	watchers, known := f.watchedTenants.cached(ada, ch.At, time.Minute)
	require.True(t, known, "the executor learns who watches the tenant")
	require.Equal(t, []string{"prc_1"}, watchers)
	f.mustApply(t, f.submitRun(t, bob), claimEvent)
}

// An executor that got no answer repeats its claim. It takes effect once, and the executor learns of it.
func TestRepeatedClaimTakesEffectOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	claim := execution.Claimed{Executor: "x1", Session: "prc_1.1", ClaimID: "c1"}
	first := f.mustApply(t, ref, claim)
	require.Empty(t, cmp.Diff(first.Execution, f.mustApply(t, ref, claim).Execution))
	require.Equal(t, 1, f.getExecution(t, ref).Attempt)
	claim.ClaimID = "c2"
	_, err := f.Apply(t.Context(), ref, claim)
	require.ErrorIs(t, err, execution.ErrLeased)
}

func TestEndStoresStepsAndFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.mustApply(t, ref, claimEvent)
	end := successEvent(1, "done")
	end.Ending.Steps = []execution.Step{{Number: 1, Kind: execution.StepOutput, Text: "ls"}}
	end.Ending.Files = []execution.File{{Path: "out.txt", Content: execution.Content{Size: 3, SHA256: []byte("abc")}}}
	f.mustApply(t, ref, end)
	e := f.getExecution(t, ref)
	require.Equal(t, end.Ending.Steps, e.Steps)
	require.Equal(t, end.Ending.Files, e.Files)
}

// Success, a cancellation, and the end of a canceled job are applied to a running turn at the same time. Exactly one
// of them finishes it.
func TestCancelDuringFinish(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	canceled := execution.JobEnded{Attempt: 1, Ending: execution.NewCanceledFailure().Ending(execution.Usage{})}
	turns := make([]execution.Execution, 200)
	for i := range turns {
		turns[i] = f.submitTurn(t, "", "hello")
		f.mustApply(t, turns[i].Ref(), execution.Claimed{Executor: "x1"})
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
		require.EqualValues(t, 1, ends[i].Load(), "exactly one event finishes it")
		ended := f.getExecution(t, turns[i].Ref())
		require.True(t, ended.Status.Terminal())
		require.Equal(t, ended.Status == execution.Succeeded, ended.Result != nil)
		require.Equal(t, ended.Status == execution.Canceled, ended.Failure != nil)
		require.Len(t, f.listMessages(t, ended), 2, "one reply")
		count[ended.Status]++
		if i%10 != 0 {
			continue
		}
		for _, ev := range []execution.Event{successEvent(1, "second"), execution.CancelRequested{}, canceled, claimEvent, execution.Overdue{}} {
			_, err := f.Apply(t.Context(), ended.Ref(), ev)
			require.ErrorIs(t, err, execution.ErrTerminal)
		}
		require.Empty(t, cmp.Diff(ended, f.getExecution(t, ended.Ref())), "a finished execution never changes")
	}
	t.Log(count)
}

func TestApplyInvalidEventReturnsDomainError(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	_, err := f.Apply(t.Context(), ref, execution.Overdue{})
	require.ErrorIs(t, err, execution.ErrNotDue)
	_, err = f.Apply(t.Context(), ref, successEvent(0, "x"))
	require.ErrorIs(t, err, execution.ErrLeaseLost)
	f.mustApply(t, ref, execution.CancelRequested{})
	_, err = f.Apply(t.Context(), ref, claimEvent)
	require.ErrorIs(t, err, execution.ErrTerminal)
	_, err = f.Apply(t.Context(), execution.Ref{Tenant: ada, ID: "exe_none"}, claimEvent)
	require.Equal(t, &NotFoundError{Resource: "execution", ID: "exe_none"}, err)
}

// Another process may make the same change before the transaction begins. Example: two processes cancel a queued turn,
// the turn starts, and the first process has set CancelRequested already.
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

// Every end is counted once, also an end without an executor, and also if the event is repeated.
func TestFinishedExecutionCountedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const runtime = "counted" // only this test uses it
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: runtime, Timeout: time.Minute}
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	submit := func() execution.Ref {
		ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "one"})
		require.NoError(t, err)
		return ch.Execution.Ref()
	}
	stuck := submit()
	f.clock.Advance(execution.MaxQueueTimeout + time.Hour)
	finished := submit()
	f.mustApply(t, finished, claimEvent)
	for _, end := range []struct {
		ref          execution.Ref
		event        execution.Event
		status, code string
	}{
		{finished, successEvent(1, "done"), "succeeded", ""},
		{stuck, execution.Overdue{}, "timed_out", "queue_timeout"},
		{submit(), execution.CancelRequested{}, "canceled", "canceled"},
		{submit(), execution.DeadLettered{}, "failed", "dead_lettered"},
	} {
		counted := metrics.ExecutionsFinished.WithLabelValues(end.status, end.code, runtime, "interactive")
		before := testutil.ToFloat64(counted)
		f.mustApply(t, end.ref, end.event)
		_, err := f.applyUntilAvailable(t.Context(), end.ref, end.event)
		require.ErrorIs(t, err, execution.ErrTerminal)
		require.InDelta(t, before+1, testutil.ToFloat64(counted), 0, end.code)
	}
}

func TestIsRejection(t *testing.T) {
	for _, err := range []error{
		execution.ErrTerminal, execution.ErrLeased, execution.ErrLeaseLost, execution.ErrNotDue,
		execution.ErrStartDeadlineExceeded, ErrEarlierTurnPending, &NotFoundError{Resource: "execution", ID: "exe_1"},
	} {
		require.True(t, IsRejection(fmt.Errorf("apply: %w", err)), "%v", err)
	}
	for _, err := range []error{nil, ErrUnavailable, context.DeadlineExceeded} {
		require.False(t, IsRejection(err), "%v", err)
	}
}

// madeReady returns the executions that a change has made ready.
func madeReady(ch execution.Change) (refs []execution.Ref) {
	for _, e := range ch.Notify {
		refs = append(refs, e.Ref)
	}
	return refs
}
