package executor

import (
	"context"
	"io"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// panickingArtifactStore panics in every write.
type panickingArtifactStore struct{ ArtifactStore }

func (panickingArtifactStore) Put(context.Context, blob.Key, io.Reader) (execution.Content, error) {
	panic("on purpose")
}

func (panickingArtifactStore) PutTranscriptPart(context.Context, execution.Ref, blob.TranscriptPart, []byte) error {
	panic("on purpose")
}

// panicOnFirst returns a fault of a store: it panics at the first event of type E.
func panicOnFirst[E execution.Event]() func(context.Context, execution.Event) error {
	var panicked atomic.Bool
	return func(_ context.Context, ev execution.Event) error {
		if _, ok := ev.(E); ok && !panicked.Swap(true) {
			panic("on purpose")
		}
		return nil
	}
}

// A panic fails its attempt: it is logged with its stack, the execution is retried, and the executor uses its one
// slot for the next job.
func TestPanicFailsOnlyItsAttempt(t *testing.T) {
	t.Parallel()
	forFirstJob := func(run func(ctx context.Context) sandbox.Outcome) *fakeSandbox {
		return newFakeSandbox(func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
			if promptOf(job) == "first" {
				return run(ctx), context.Cause(ctx)
			}
			return successOutcome("done"), nil
		})
	}
	for name, c := range map[string]struct {
		sandbox  *fakeSandbox
		function string // on the stack
	}{
		"in the sandbox": {forFirstJob(func(context.Context) sandbox.Outcome { panic("on purpose") }), "executor.(*fakeSandbox).Run"},
		"in storage": {forFirstJob(func(context.Context) sandbox.Outcome {
			return withOutputFiles(successOutcome("done"), sandbox.OutputDir+"/f")
		}), "executor.panickingArtifactStore.Put"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			core, logs := observer.New(zap.InfoLevel)
			f.log = zap.New(core)
			config := configWithArtifacts(panickingArtifactStore{})
			config.Slots = 1
			f.start(f.newExecutor(config, f.store, f.queue, c.sandbox))
			ref := f.submit("offline", "first")
			require.Eventually(t, func() bool { e := f.stored(ref); return e.Status == execution.Queued && e.Attempt == 1 }, waitTimeout, pollInterval)
			var causes []observer.LoggedEntry
			require.Eventually(t, func() bool {
				causes = logs.FilterField(zap.String("execution", ref.ID)).FilterMessage("attempt finished").All()
				return len(causes) == 1
			}, waitTimeout, pollInterval)
			require.Contains(t, causes[0].ContextMap()["cause"], c.function)

			f.await(f.submit("offline", "second"), execution.Succeeded)
		})
	}
}

// After a panic before the claim the queue delivers the notification again; the executor uses its one slot for the next
// job.
func TestPanicInClaimFreesItsSlot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	core, logs := observer.New(zap.ErrorLevel)
	f.log = zap.New(core)
	config := testConfig()
	config.Slots = 1
	f.start(f.newExecutor(config, &faultyStore{f.store, panicOnFirst[execution.Claimed]()}, f.queue, answeringSandbox("done")))
	first := f.submit("offline", "x")
	require.Eventually(t, func() bool { return logs.Len() == 1 }, waitTimeout, pollInterval)
	require.Equal(t, first.ID, logs.All()[0].ContextMap()["execution"])
	require.Contains(t, logs.All()[0].ContextMap()["error"], "(*Executor).claim")
	require.Equal(t, execution.Queued, f.stored(first).Status)
	f.await(f.submit("offline", "y"), execution.Succeeded)
}

// After a panic while the result is written the attempt has failed, and the execution runs again.
func TestPanicInFinishFailsAttempt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	core, logs := observer.New(zap.ErrorLevel)
	f.log = zap.New(core)
	config := testConfig()
	config.Slots = 1
	f.start(f.newExecutor(config, &faultyStore{f.store, panicOnFirst[execution.JobEnded]()}, f.queue, answeringSandbox("done")))
	first := f.submit("offline", "x")
	require.Eventually(t, func() bool { return logs.Len() == 1 }, waitTimeout, pollInterval)
	require.Contains(t, logs.All()[0].ContextMap()["error"], "(*attempt).finish")
	require.Equal(t, first.ID, logs.All()[0].ContextMap()["execution"])
	f.await(f.submit("offline", "y"), execution.Succeeded)
	require.Equal(t, 1, f.await(first, execution.Succeeded).FailedAttempts)
}

// The job is done: a receipt that cannot be written must not make it run again.
func TestPanicInReceiptLosesNoResult(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	core, logs := observer.New(zap.ErrorLevel)
	f.log = zap.New(core)
	config := testConfig()
	config.ReceiptKey = &receipt.Key{} // to sign with it panics
	b := answeringSandbox("done")
	f.run(config, b)
	e := f.await(f.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, "done", e.Result.Text)
	require.Empty(t, e.Receipt)
	require.Len(t, b.started, 1)
	require.Equal(t, 1, logs.FilterMessage("could not write the receipt").Len())
}

// panickingQueue is a real queue whose first Pull panics.
type panickingQueue struct {
	*queue.Queue
	panicked *atomic.Bool
}

func (q panickingQueue) Pull(ctx context.Context, from queue.Subscription, limit int) ([]queue.Notification, error) {
	if !q.panicked.Swap(true) {
		panic("on purpose")
	}
	return q.Queue.Pull(ctx, from, limit)
}

func TestPanicInPullIsRetried(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var panicked atomic.Bool
	f.start(f.newExecutor(testConfig(), f.store, panickingQueue{f.queue, &panicked}, answeringSandbox("done")))
	f.await(f.submit("offline", "x"), execution.Succeeded)
	require.True(t, panicked.Load())
}
