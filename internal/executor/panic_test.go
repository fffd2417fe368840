package executor

import (
	"context"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// rotten storage panics over what it is given.
type panickingArtifactStore struct{}

func (panickingArtifactStore) Put(context.Context, blob.Key, io.Reader) (execution.Content, error) {
	panic("on purpose")
}

// panicking is a fault of a store at the first event of a kind.
func panicOnFirst[E execution.Event]() func(context.Context, execution.Event) error {
	var panicked atomic.Bool
	return func(_ context.Context, ev execution.Event) error {
		if _, ok := ev.(E); ok && !panicked.Swap(true) {
			panic("on purpose")
		}
		return nil
	}
}

// A panic in an attempt is a fault of our own in this attempt: it is logged with
// its stack and tried again, and the executor goes on with its one slot.
func TestPanicFailsOnlyItsAttempt(t *testing.T) {
	t.Parallel()
	first := func(do func(ctx context.Context) sandbox.Outcome) *fakeSandbox {
		return newFakeSandbox(func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
			if strings.TrimSpace(string(job.Stdin)) == "first" {
				return do(ctx), context.Cause(ctx)
			}
			return successOutcome("done"), nil
		})
	}
	noFault := func(context.Context, execution.Event) error { return nil }
	for name, c := range map[string]struct {
		box   *fakeSandbox
		fault func(context.Context, execution.Event) error
		from  string // a function on the stack
	}{
		"in the sandbox": {first(func(context.Context) sandbox.Outcome { panic("on purpose") }), noFault, "executor.(*box).Run"},
		"in storage": {first(func(context.Context) sandbox.Outcome {
			return withOutputFiles(successOutcome("done"), sandbox.OutputDir+"/f")
		}), noFault, "executor.rotten.Put"},
		"in the heart": {first(func(ctx context.Context) sandbox.Outcome {
			<-ctx.Done() // the job is not left alone without one
			return sandbox.Outcome{}
		}), panicOnFirst[execution.Renewed](), "executor.(*heart).beat"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFixture(t)
			core, logs := observer.New(zap.InfoLevel)
			w.log = zap.New(core)
			config := configWithArtifacts(panickingArtifactStore{})
			config.Slots, config.Heartbeat = 1, 100*time.Millisecond
			w.start(w.newExecutor(config, &faultyStore{w.store, c.fault}, w.queue, c.box))
			ref := w.submit("offline", "first")
			require.Eventually(t, func() bool { return w.stored(ref).FailedAttempts == 1 }, waitTimeout, pollInterval)
			require.Equal(t, execution.Queued, w.stored(ref).Status, "for another attempt")
			causes := logs.FilterField(zap.String("execution", ref.ID)).FilterMessage("settled").All()
			require.Len(t, causes, 1)
			require.Contains(t, causes[0].ContextMap()["cause"], c.from)

			w.await(w.submit("offline", "second"), execution.Succeeded)
		})
	}
}

// A panic over the verdict leaves the execution to the janitor, as a crash would.
func TestPanicInFinishReleasesLease(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	core, logs := observer.New(zap.ErrorLevel)
	w.log = zap.New(core)
	config := testConfig()
	config.Slots, config.Heartbeat = 1, 100*time.Millisecond
	w.start(w.newExecutor(config, &faultyStore{w.store, panicOnFirst[execution.Finished]()}, w.queue, answeringSandbox("done")))
	first := w.submit("offline", "x")
	require.Eventually(t, func() bool { return logs.Len() == 1 }, waitTimeout, pollInterval)
	require.Contains(t, logs.All()[0].ContextMap()["error"], "(*Executor).settle")
	require.Equal(t, first.ID, logs.All()[0].ContextMap()["execution"])
	w.await(w.submit("offline", "y"), execution.Succeeded)

	require.Equal(t, execution.Running, w.stored(first).Status)
	w.clock.Advance(config.Lease)
	ch, err := w.store.Apply(t.Context(), first, execution.Expired{})
	require.NoError(t, err, "nobody renews its lease any more")
	require.Equal(t, []execution.Ref{first}, ch.Notify)
}
