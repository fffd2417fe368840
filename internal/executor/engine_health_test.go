package executor

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

func startError(cause sandbox.StartFailure) *sandbox.StartError {
	return &sandbox.StartError{Cause: cause, Err: errors.New("no space left on device")}
}

// makeDue lets the back-off of a queued execution pass and publishes its notification, as the janitor does.
func (f *fixture) makeDue(ref execution.Ref) {
	f.t.Helper()
	f.clock.Advance(2 * time.Minute)
	ch, err := f.store.Apply(f.t.Context(), ref, execution.Overdue{})
	require.NoError(f.t, err)
	require.NoError(f.t, f.queue.Publish(f.t.Context(), ch))
}

// A sandbox that does not start costs the execution no attempt. The execution ends after ten failed starts, with the
// last reason.
func TestStartFailuresDoNotCountAsFailedAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return sandbox.Outcome{}, startError(sandbox.EngineRefused)
	})
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	for n := 1; n < execution.MaxStartFailures; n++ {
		require.Eventually(t, func() bool { e := f.stored(ref); return e.Status == execution.Queued && e.Attempt == n }, waitTimeout, pollInterval)
		e := f.stored(ref)
		require.Zero(t, e.FailedAttempts)
		require.Equal(t, &execution.StartFailures{Count: n, Executors: []string{"x1"}, LastReason: sandbox.EngineRefused.Message()}, e.StartFailures)
		f.makeDue(ref)
	}
	e := f.await(ref, execution.Failed)
	require.Equal(t, execution.CodeNoExecutor, e.Failure.Code)
	require.Contains(t, e.Failure.Message, sandbox.EngineRefused.Message())
	require.NotContains(t, e.Failure.Message, "no space", "internals are logged, and not returned")
	require.Zero(t, e.FailedAttempts)
}

// When several starts in a row fail, the executor takes no more executions. It goes on when an empty container starts.
func TestPullingStopsWhileStartsFail(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var sick atomic.Bool
	sick.Store(true)
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		if sick.Load() {
			return sandbox.Outcome{}, startError(sandbox.StartTimedOut)
		}
		return successOutcome("done"), nil
	})
	b.setProbeErr(startError(sandbox.StartTimedOut))
	c := testConfig()
	c.Slots = 1
	x := f.newExecutor(c, f.store, f.queue, b)
	f.start(x)
	var refs []execution.Ref
	for i := range 10 {
		refs = append(refs, f.submit("offline", fmt.Sprint(i)))
	}
	require.Eventually(t, func() bool { h := x.Health(); return !h.Pulling && h.Reason != "starting" }, waitTimeout, pollInterval)
	require.Contains(t, x.Health().Reason, "start_timed_out")
	probes := func() int { b.mu.Lock(); defer b.mu.Unlock(); return b.probes }
	require.Eventually(t, func() bool { return probes() >= 3 }, waitTimeout, pollInterval)
	require.Len(t, b.started, maxStartFailures, "only so many executions met the sick Engine")

	sick.Store(false)
	b.setProbeErr(nil)
	untouched := 0
	for _, ref := range refs {
		if f.stored(ref).StartFailures != nil {
			f.makeDue(ref)
		} else {
			untouched++
		}
		require.Zero(t, f.await(ref, execution.Succeeded).FailedAttempts)
	}
	require.Equal(t, len(refs)-maxStartFailures, untouched)
	require.True(t, x.Health().Pulling)
	require.Empty(t, x.Health().Reason)
}

// twoRuntimes knows the runtimes a and b, with an image each.
func twoRuntimes() *agentruntime.Registry {
	entry := catalog.Builtin().Runtimes[0]
	var all []agentruntime.Runtime
	for _, name := range []string{"a", "b"} {
		entry.Name, entry.Image = name, name
		all = append(all, agentruntime.FromCatalog(entry, nil))
	}
	return agentruntime.NewRegistry(all...)
}

// An executor without the image of a runtime leaves its jobs to others, and runs those of other runtimes.
func TestMissingImageMakesOnlyItsRuntimeUnavailable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	without := newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		if job.Image == "a" {
			return sandbox.Outcome{}, startError(sandbox.ImageMissing)
		}
		return successOutcome("without"), nil
	})
	c := testConfig()
	x := f.newExecutor(c, f.store, f.queue, without)
	x.config.Runtimes, x.health.retryInterval = twoRuntimes(), time.Hour
	f.start(x)
	first := f.submit("a", "x")
	require.Eventually(t, func() bool { return f.stored(first).StartFailures != nil }, waitTimeout, pollInterval)
	require.Contains(t, x.Health().UnavailableRuntimes["a"], "image_missing")
	require.Equal(t, "without", f.await(f.submit("b", "x"), execution.Succeeded).Result.Text)

	var refs []execution.Ref
	for i := range 5 {
		refs = append(refs, f.submit("a", fmt.Sprint(i)))
	}
	c.Name = "x2"
	other := f.newExecutor(c, f.store, f.queue, answeringSandbox("with"))
	other.config.Runtimes = twoRuntimes()
	f.start(other)
	for _, ref := range refs {
		var e execution.Execution
		require.Eventually(t, func() bool {
			f.clock.Advance(time.Minute)
			// Pub/Sub delivers a notification that went back later each time. The janitor publishes others.
			if ch, err := f.store.Apply(context.Background(), ref, execution.Overdue{}); err == nil {
				_ = f.queue.Publish(context.Background(), ch)
			}
			e = f.stored(ref)
			return e.Status == execution.Succeeded
		}, waitTimeout, time.Second)
		require.Equal(t, "with", e.Result.Text)
		require.Nil(t, e.StartFailures, "the executor without the image did not claim it")
	}
	require.True(t, x.Health().Pulling)
}

func TestUnavailableRuntimeIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newEngineHealth()
		require.False(t, h.recordStartFailure("a", startError(sandbox.ImageUnusable)))
		require.Equal(t, []string{"a"}, h.unavailableRuntimes())
		time.Sleep(runtimeRetryInterval)
		require.Empty(t, h.unavailableRuntimes(), "the next job tries")
		require.Contains(t, h.snapshot().UnavailableRuntimes, "a")
		h.recordStarted("a", false)
		require.Empty(t, h.snapshot().UnavailableRuntimes)
	})
}

func TestEngineHealthCountsFailuresInARow(t *testing.T) {
	t.Parallel()
	h := newEngineHealth()
	refused := startError(sandbox.EngineRefused)
	for range 2 {
		for range maxStartFailures - 1 {
			require.False(t, h.recordStartFailure("a", refused))
		}
		h.recordStarted("a", true)
	}
	for range maxStartFailures - 1 {
		require.False(t, h.recordStartFailure("a", refused))
		h.recordStarted("a", false) // a warm sandbox was started before
	}
	require.False(t, h.startsFail())
	require.True(t, h.recordStartFailure("b", refused))
	require.True(t, h.startsFail())
	require.True(t, newEngineHealth().recordStartFailure("a", startError(sandbox.EngineUnreachable)), "nothing can start")
}
