package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// countingSandbox counts how many jobs run at the same time.
type countingSandbox struct {
	mu            sync.Mutex
	current, peak int
	release       chan struct{} // each receive ends one job
	started       chan struct{}
}

func (s *countingSandbox) Run(context.Context, sandbox.Job) (sandbox.Outcome, error) {
	s.add(1)
	s.started <- struct{}{}
	<-s.release
	s.add(-1)
	return successOutcome("done"), nil
}

func (s *countingSandbox) Ping(context.Context) error  { return nil }
func (s *countingSandbox) Probe(context.Context) error { return nil }

func (s *countingSandbox) Try(context.Context, sandbox.Job) error { return nil }

func (s *countingSandbox) StartAhead(context.Context, sandbox.Job) (release func(), err error) {
	return func() {}, nil
}

func (s *countingSandbox) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current += n
	s.peak = max(s.peak, s.current)
}

func TestSlotsAreNeverExceeded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const slots, jobs = 3, 12
	sb := &countingSandbox{release: make(chan struct{}), started: make(chan struct{}, jobs)}
	c := testConfig()
	c.Slots = slots
	f.run(c, sb)
	var refs []execution.Ref
	for i := range jobs {
		submit := f.submitToBatchLane
		if i%2 == 0 {
			submit = func(input string) execution.Ref { return f.submit("offline", input) }
		}
		refs = append(refs, submit(fmt.Sprint(i)))
	}
	for range slots {
		next(t, sb.started)
	}
	for range jobs - slots {
		sb.release <- struct{}{} // one job ends, the next one starts
		next(t, sb.started)
	}
	close(sb.release)
	for _, ref := range refs {
		f.await(ref, execution.Succeeded)
	}
	require.Equal(t, slots, sb.peak)
}

// A slot is free when the job has ended, also while its result is being written.
func TestNextJobStartsWhileResultIsWritten(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	begun := make(chan struct{})
	var ends atomic.Int32
	s := &faultyStore{f.store, func(ctx context.Context, ev execution.Event) error {
		if _, ended := ev.(execution.JobEnded); ended && ends.Add(1) == 1 {
			select {
			case <-begun:
			case <-ctx.Done():
				return fmt.Errorf("%w: no job started", store.ErrUnavailable)
			}
		}
		return nil
	}}
	c := testConfig()
	c.Slots = 1
	f.start(f.newExecutor(c, s, f.queue, b))
	first, second := f.submit("offline", "1"), f.submit("offline", "2")
	next(t, b.started)
	next(t, b.started)
	close(begun)
	f.await(first, execution.Succeeded)
	f.await(second, execution.Succeeded)
	require.EqualValues(t, 2, ends.Load(), "each result was written by the first call")
}

// While the store is slow, at most twice as many executions as slots are claimed.
func TestPendingFinishesAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	written := make(chan struct{})
	ending := make(chan struct{}, 3)
	s := &faultyStore{f.store, func(_ context.Context, ev execution.Event) error {
		if _, ended := ev.(execution.JobEnded); ended {
			ending <- struct{}{}
			<-written
		}
		return nil
	}}
	c := testConfig()
	c.Slots = 1
	x := f.newExecutor(c, s, f.queue, b)
	f.start(x)
	refs := []execution.Ref{f.submit("offline", "1"), f.submit("offline", "2"), f.submit("offline", "3")}
	next(t, ending)
	next(t, ending)
	free, _ := x.slots.status(execution.LaneInteractive)
	require.Zero(t, free, "the second keeps its slot")
	require.Len(t, b.started, 2)
	close(written)
	for _, ref := range refs {
		f.await(ref, execution.Succeeded)
	}
}

// A run finds a slot however many executions of batches are queued.
func TestBatchLaneLeavesReservedSlots(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b, gate := gatedSandbox("done")
	c := testConfig()
	c.Slots, c.Reserved = 3, 1
	f.run(c, b)
	for i := range 6 {
		f.submitToBatchLane(fmt.Sprint(i))
	}
	next(t, b.started)
	next(t, b.started)
	ref := f.submit("offline", "interactive")
	require.Equal(t, ref.ID, next(t, b.started).Execution)
	require.Empty(t, b.started)
	close(gate)
	for range 4 {
		next(t, b.started)
	}
}

// delayedQueue is a real queue that delays its answers for the batch lane.
type delayedQueue struct {
	*queue.Queue
	pulled  chan struct{} // receives when there is an answer
	release chan struct{}
}

func (q delayedQueue) Pull(ctx context.Context, from queue.Subscription, limit int) ([]queue.Notification, error) {
	notifications, err := q.Queue.Pull(ctx, from, limit)
	if from.Lane == execution.LaneBatch {
		q.pulled <- struct{}{}
		<-q.release
	}
	return notifications, err
}

// A notification whose slot the other lane has taken goes to another executor at once.
func TestNotificationWithoutFreeSlotIsNacked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	busy, gate := gatedSandbox("done")
	defer close(gate)
	q := delayedQueue{f.queue, make(chan struct{}, 100), make(chan struct{})}
	c := testConfig()
	c.Slots = 1
	f.start(f.newExecutor(c, f.store, q, busy))
	batched := f.submitToBatchLane("x")
	next(t, q.pulled)
	f.submit("offline", "y")
	next(t, busy.started)
	close(q.release)

	f.run(testConfig(), answeringSandbox("done by another"))
	e := f.await(batched, execution.Succeeded)
	require.Equal(t, "done by another", e.Result.Text)
	require.Equal(t, 1, e.Attempt)
}

// A notification that is pulled while the executor stops goes back to the queue.
func TestNotificationPulledDuringShutdownIsNacked(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	never := answeringSandbox("never")
	q := delayedQueue{f.queue, make(chan struct{}, 100), make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	x := f.newExecutor(testConfig(), f.store, q, never)
	f.runMember(x)
	go func() { ended <- x.Run(ctx) }()
	ref := f.submitToBatchLane("x")
	next(t, q.pulled)
	stop()
	close(q.release)
	require.NoError(t, next(t, ended))
	require.Empty(t, never.started)

	f.run(testConfig(), answeringSandbox("done by another"))
	require.Equal(t, 1, f.await(ref, execution.Succeeded).Attempt)
}

// After a short outage of the Engine the free slots are used again, although a job that survived it still runs.
func TestPullingResumesWhileJobsRun(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	gate := make(chan struct{})
	defer close(gate)
	var b *fakeSandbox
	b = newFakeSandbox(func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		switch promptOf(job) {
		case "long":
			<-gate
		case "fails":
			return sandbox.Outcome{}, b.Ping(ctx)
		}
		return successOutcome("done"), nil
	})
	f.run(testConfig(), b)
	f.submit("offline", "long")
	next(t, b.started)
	b.setPingErr(errors.New("no Engine"))
	f.submit("offline", "fails")
	require.Error(t, next(t, b.ended))
	b.setPingErr(nil)
	f.await(f.submit("offline", "short"), execution.Succeeded)
}
