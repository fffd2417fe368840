package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// crowd is a sandbox that notes how many jobs are in it at once.
type countingSandbox struct {
	mu            sync.Mutex
	current, peak int
	release       chan struct{} // lets one job end
	started       chan struct{}
}

func (c *countingSandbox) Run(context.Context, sandbox.Job) (sandbox.Outcome, error) {
	c.add(1)
	c.started <- struct{}{}
	<-c.release
	c.add(-1)
	return successOutcome("done"), nil
}

func (c *countingSandbox) Ping(context.Context) error { return nil }

func (c *countingSandbox) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current += n
	c.peak = max(c.peak, c.current)
}

func TestSlotsAreNeverExceeded(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	const slots, jobs = 3, 12
	sb := &countingSandbox{release: make(chan struct{}), started: make(chan struct{}, jobs)}
	c := testConfig()
	c.Slots = slots
	w.run(c, sb)
	var refs []execution.Ref
	for i := range jobs {
		submit := w.submitToBatchLane
		if i%2 == 0 {
			submit = func(input string) execution.Ref { return w.submit("offline", input) }
		}
		refs = append(refs, submit(fmt.Sprint(i)))
	}
	for range slots {
		next(t, sb.started)
	}
	for range jobs - slots {
		sb.release <- struct{}{} // one out, one in
		next(t, sb.started)
	}
	close(sb.release)
	for _, ref := range refs {
		w.await(ref, execution.Succeeded)
	}
	require.Equal(t, slots, sb.peak)
}

// A slot is the job's: while the end of one is written, the next has begun.
func TestNextJobStartsWhileResultIsWritten(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b := answeringSandbox("done")
	begun := make(chan struct{})
	var ends atomic.Int32
	s := &faultyStore{w.store, func(ctx context.Context, ev execution.Event) error {
		if _, finished := ev.(execution.Finished); finished && ends.Add(1) == 1 {
			select {
			case <-begun:
			case <-ctx.Done():
				return fmt.Errorf("%w: nothing began", store.ErrUnavailable)
			}
		}
		return nil
	}}
	c := testConfig()
	c.Slots = 1
	w.start(w.newExecutor(c, s, w.queue, b))
	first, second := w.submit("offline", "1"), w.submit("offline", "2")
	next(t, b.started)
	next(t, b.started)
	close(begun)
	w.await(first, execution.Succeeded)
	w.await(second, execution.Succeeded)
	require.EqualValues(t, 2, ends.Load(), "neither end had to be written twice")
}

// While the store is slow, no more is begun than has slots twice over.
func TestPendingFinishesAreBounded(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b := answeringSandbox("done")
	written := make(chan struct{})
	ending := make(chan struct{}, 3)
	s := &faultyStore{w.store, func(_ context.Context, ev execution.Event) error {
		if _, finished := ev.(execution.Finished); finished {
			ending <- struct{}{}
			<-written
		}
		return nil
	}}
	c := testConfig()
	c.Slots = 1
	x := w.newExecutor(c, s, w.queue, b)
	w.start(x)
	refs := []execution.Ref{w.submit("offline", "1"), w.submit("offline", "2"), w.submit("offline", "3")}
	next(t, ending)
	next(t, ending)
	free, _ := x.slots.inspect(execution.LaneInteractive)
	require.Zero(t, free, "the second keeps its slot")
	require.Len(t, b.started, 2)
	close(written)
	for _, ref := range refs {
		w.await(ref, execution.Succeeded)
	}
}

// However many inputs of batches wait, a run finds a slot.
func TestBatchLaneLeavesReservedSlots(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	b, gate := gatedSandbox("done")
	c := testConfig()
	c.Slots, c.Reserved = 3, 1
	w.run(c, b)
	for i := range 6 {
		w.submitToBatchLane(fmt.Sprint(i))
	}
	next(t, b.started)
	next(t, b.started)
	ref := w.submit("offline", "a person waits")
	require.Equal(t, ref.ID, next(t, b.started).Execution)
	require.Empty(t, b.started)
	close(gate)
	for range 4 {
		next(t, b.started)
	}
}

// held is the real queue, whose answers for batches are late.
type delayedQueue struct {
	*queue.Queue
	pulled  chan struct{} // there is an answer
	release chan struct{}
}

func (q delayedQueue) Pull(ctx context.Context, lane execution.Lane, limit int) ([]queue.Notification, error) {
	notifications, err := q.Queue.Pull(ctx, lane, limit)
	if lane == execution.LaneBatch {
		q.pulled <- struct{}{}
		<-q.release
	}
	return notifications, err
}

// What comes when the slot has gone to the other lane is another executor's at once.
func TestNotificationWithoutFreeSlotIsNacked(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	busy, gate := gatedSandbox("done")
	defer close(gate)
	q := delayedQueue{w.queue, make(chan struct{}, 100), make(chan struct{})}
	c := testConfig()
	c.Slots = 1
	w.start(w.newExecutor(c, w.store, q, busy))
	batched := w.submitToBatchLane("x")
	next(t, q.pulled)
	w.submit("offline", "y")
	next(t, busy.started)
	close(q.release)

	w.run(testConfig(), answeringSandbox("done by another"))
	e := w.await(batched, execution.Succeeded)
	require.Equal(t, "done by another", e.Result.Text)
	require.Equal(t, 1, e.Attempt)
}

// What was pulled just as the stop came is given back, not begun.
func TestNotificationPulledDuringShutdownIsNacked(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	never := answeringSandbox("never")
	q := delayedQueue{w.queue, make(chan struct{}, 100), make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.newExecutor(testConfig(), w.store, q, never).Run(ctx) }()
	ref := w.submitToBatchLane("x")
	next(t, q.pulled)
	stop()
	close(q.release)
	require.NoError(t, next(t, ended))
	require.Empty(t, never.started)

	w.run(testConfig(), answeringSandbox("done by another"))
	require.Equal(t, 1, w.await(ref, execution.Succeeded).Attempt)
}

// An Engine that went away for a moment keeps nobody from the free slots while
// a job that outlived that still runs.
func TestPullingResumesWhileJobsRun(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	gate := make(chan struct{})
	defer close(gate)
	var b *fakeSandbox
	b = newFakeSandbox(func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		switch strings.TrimSpace(string(job.Stdin)) {
		case "long":
			<-gate
		case "broken by that":
			return sandbox.Outcome{}, b.Ping(ctx)
		}
		return successOutcome("done"), nil
	})
	w.run(testConfig(), b)
	w.submit("offline", "long")
	next(t, b.started)
	b.setPingErr(errors.New("no Engine"))
	w.submit("offline", "broken by that")
	require.Error(t, next(t, b.ended))
	b.setPingErr(nil)
	w.await(w.submit("offline", "short"), execution.Succeeded)
}
