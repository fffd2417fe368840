package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
		return sandbox.Outcome{}, startError(sandbox.ImageUnusable)
	})
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	x.runtimes.retryInterval = 0
	f.start(x)
	ref := f.submit("offline", "x")
	for n := 1; n < execution.MaxStartFailures; n++ {
		require.Eventually(t, func() bool { e := f.stored(ref); return e.Status == execution.Queued && e.Attempt == n }, waitTimeout, pollInterval)
		e := f.stored(ref)
		require.Zero(t, e.FailedAttempts)
		require.Equal(t, &execution.StartFailures{Count: n, Executors: []string{"x1"}, LastReason: sandbox.ImageUnusable.Message()}, e.StartFailures)
		f.makeDue(ref)
	}
	e := f.await(ref, execution.Failed)
	require.Equal(t, execution.CodeNoExecutor, e.Failure.Code)
	require.Contains(t, e.Failure.Message, sandbox.ImageUnusable.Message())
	require.NotContains(t, e.Failure.Message, "no space", "internals are logged, and not returned")
	require.Zero(t, e.FailedAttempts)
}

// When several starts in a row fail, the executor takes no more executions. It goes on when an empty container starts.
func TestPullingStopsWhileStartsFail(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var sick atomic.Bool
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		if sick.Load() {
			return sandbox.Outcome{}, startError(sandbox.EngineRefused)
		}
		return successOutcome("done"), nil
	})
	c := testConfig()
	c.Slots = 1
	x := f.newExecutor(c, f.store, f.queue, b)
	f.start(x)
	require.Eventually(t, func() bool { return x.Health().Pulling }, waitTimeout, pollInterval)
	sick.Store(true)
	b.setProbeErr(startError(sandbox.EngineRefused))
	var refs []execution.Ref
	for i := range 10 {
		refs = append(refs, f.submit("offline", fmt.Sprint(i)))
	}
	require.Eventually(t, func() bool { return !x.Health().Pulling }, waitTimeout, pollInterval)
	require.Contains(t, x.Health().Reason, "engine_refused")
	require.Eventually(t, func() bool { return b.probeCount() >= 3 }, waitTimeout, pollInterval)
	require.Len(t, b.started, maxStartFailures, "only so many executions met the sick Engine")

	touched := 0
	for _, ref := range refs {
		if f.stored(ref).Attempt == 1 {
			touched++
		}
	}
	require.Equal(t, maxStartFailures, touched)

	sick.Store(false)
	b.setProbeErr(nil)
	f.clock.Advance(2 * time.Minute)
	for _, ref := range refs {
		// As the janitor does. It is not due if the executor has already claimed it.
		if ch, err := f.store.Apply(t.Context(), ref, execution.Overdue{}); err == nil {
			require.NoError(t, f.queue.Publish(t.Context(), ch))
		}
		require.Zero(t, f.await(ref, execution.Succeeded).FailedAttempts)
	}
	require.True(t, x.Health().Pulling)
	require.Empty(t, x.Health().Reason)
}

// An executor takes no execution before a container has started. So one that is restarted beside a sick Engine does no
// harm.
func TestNothingPulledBeforeFirstStart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	b.setProbeErr(startError(sandbox.EngineRefused))
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	f.start(x)
	ref := f.submit("offline", "x")
	require.Eventually(t, func() bool { return strings.Contains(x.Health().Reason, "engine_refused") }, waitTimeout, pollInterval)
	require.Zero(t, f.stored(ref).Attempt)
	b.setProbeErr(nil)
	f.await(ref, execution.Succeeded)
}

// A start that fails because the Engine starts nothing does not bring the end of the execution nearer.
func TestStartFailuresOfSickEngineAreNotCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return sandbox.Outcome{}, startError(sandbox.EngineRefused)
	})
	c := testConfig()
	c.Slots = 1
	x := f.newExecutor(c, f.store, f.queue, b)
	f.start(x)
	require.Eventually(t, func() bool { return x.Health().Pulling }, waitTimeout, pollInterval)
	b.setProbeErr(startError(sandbox.EngineRefused))
	refs := []execution.Ref{f.submit("offline", "1"), f.submit("offline", "2"), f.submit("offline", "3")}
	counted := 0
	for _, ref := range refs {
		require.Eventually(t, func() bool { e := f.stored(ref); return e.Status == execution.Queued && e.Attempt == 1 }, waitTimeout, pollInterval)
		if f.stored(ref).StartFailures != nil {
			counted++
		}
	}
	require.Equal(t, maxStartFailures-1, counted, "with the last one, the executor knows that the Engine is sick")
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

// failingImage returns an error of Try for the jobs of one image.
func failingImage(image string) func(sandbox.Job) error {
	return func(job sandbox.Job) error {
		if job.Image == image {
			return startError(sandbox.ImageMissing)
		}
		return nil
	}
}

// When the image of a runtime is gone, one job finds out. After that the executor leaves the others to other executors,
// until a try succeeds, and runs those of other runtimes.
func TestMissingImageMakesOnlyItsRuntimeUnavailable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var without *fakeSandbox
	without = newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		if err := failingImage("a")(job); err != nil {
			without.setTryErr(failingImage("a"))
			return sandbox.Outcome{}, err
		}
		return successOutcome("without"), nil
	})
	c := testConfig()
	x := f.newExecutor(c, f.store, f.queue, without)
	x.config.Runtimes, x.runtimes.retryInterval = twoRuntimes(), pollInterval
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
		e := f.await(ref, execution.Succeeded)
		require.Equal(t, "with", e.Result.Text)
		require.Equal(t, 1, e.Attempt)
		require.Nil(t, e.StartFailures, "the executor without the image did not claim it")
	}
	require.True(t, x.Health().Pulling)
}

// A runtime is tried before its first job, and again and again. So no job finds out that its image is missing.
func TestRuntimeIsTriedBeforeItsJobs(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	tries := make(chan struct{}, 1000)
	b.setTryErr(func(job sandbox.Job) error {
		tries <- struct{}{}
		return failingImage("a")(job)
	})
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	x.config.Runtimes, x.runtimes.retryInterval = twoRuntimes(), pollInterval
	require.Equal(t, "it has not been started yet", x.State().UnavailableRuntimes["a"])
	f.start(x)
	ref := f.submit("a", "x")
	f.await(f.submit("b", "x"), execution.Succeeded)
	for range 5 {
		next(t, tries)
	}
	require.Contains(t, x.State().UnavailableRuntimes["a"], "image_missing")
	require.NotContains(t, x.State().UnavailableRuntimes, "b")
	require.Zero(t, f.stored(ref).Attempt)
	b.setTryErr(nil)
	e := f.await(ref, execution.Succeeded)
	require.Equal(t, 1, e.Attempt)
	require.Nil(t, e.StartFailures)
	require.Empty(t, x.State().UnavailableRuntimes)
}

// A try that fails because of the Engine says nothing about the image: the executor waits for the Engine.
func TestTryFindsSickEngine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	b.setTryErr(func(sandbox.Job) error {
		b.setProbeErr(startError(sandbox.EngineRefused))
		return startError(sandbox.EngineRefused)
	})
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	x.runtimes.retryInterval = pollInterval
	f.start(x)
	ref := f.submit("offline", "x")
	require.Eventually(t, func() bool { return strings.Contains(x.Health().Reason, "engine_refused") }, waitTimeout, pollInterval)
	require.Zero(t, f.stored(ref).Attempt)
	b.setTryErr(nil)
	b.setProbeErr(nil)
	f.await(ref, execution.Succeeded)
}

// The Engine refuses the containers of one runtime, because of their limits. When Probe has found that out, the
// executor goes on with the others.
func TestRefusedRuntimeDoesNotStopOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	b.setTryErr(func(job sandbox.Job) error {
		switch {
		case job.Image != "a":
			return nil
		case b.probeCount() > 1: // the first one is at the start
			return startError(sandbox.ImageUnusable)
		default:
			return startError(sandbox.EngineRefused)
		}
	})
	x := f.newExecutor(testConfig(), f.store, f.queue, b)
	x.config.Runtimes, x.runtimes.retryInterval = twoRuntimes(), pollInterval
	f.start(x)
	require.Eventually(t, func() bool {
		return strings.Contains(x.Health().UnavailableRuntimes["a"], "image_unusable")
	}, waitTimeout, pollInterval)
	f.await(f.submit("b", "x"), execution.Succeeded)
	require.True(t, x.Health().Pulling)
}

func TestUnavailableRuntimeIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		changes := 0
		r := newRuntimeStates(func() { changes++ })
		require.NoError(t, r.awaitTry(t.Context(), "a"), "at once, the first time")
		r.setUnavailable("a", "no image")
		began := time.Now()
		require.NoError(t, r.awaitTry(t.Context(), "a"))
		require.Equal(t, runtimeRetryInterval, time.Since(began))
		r.setUnavailable("a", "no image")
		require.Equal(t, 1, changes, "nothing has changed")
		r.setStartable("a")
		require.NoError(t, r.awaitStartable(t.Context(), "a"))
		require.Empty(t, r.unavailable("a"))
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		require.ErrorIs(t, r.awaitTry(ctx, "a"), context.DeadlineExceeded, "it is not tried without a reason")
	})
}

// startedHealth is the health of an executor whose Engine has started a container.
func startedHealth() *engineHealth {
	h := newEngineHealth()
	h.recordStarted()
	return h
}

func TestEngineHealthCountsFailuresInARow(t *testing.T) {
	t.Parallel()
	require.True(t, newEngineHealth().engineSick(), "a new executor has seen no container start")
	h := startedHealth()
	refused := startError(sandbox.EngineRefused)
	for range 2 {
		for range maxStartFailures - 1 {
			require.False(t, h.recordStartFailure(refused))
		}
		h.recordStarted()
	}
	for range maxStartFailures - 1 {
		require.False(t, h.recordStartFailure(refused))
	}
	require.False(t, h.engineSick())
	require.True(t, h.recordStartFailure(refused))
	require.True(t, h.engineSick())
	for _, cause := range []sandbox.StartFailure{sandbox.EngineUnreachable, sandbox.StartTimedOut} {
		h := startedHealth()
		require.True(t, h.recordStartFailure(startError(cause)), cause)
		require.True(t, h.engineSick(), cause)
	}
}
