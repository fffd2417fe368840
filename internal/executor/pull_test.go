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
type crowd struct {
	mu        sync.Mutex
	now, most int
	leave     chan struct{} // lets one job end
	entered   chan struct{}
}

func (c *crowd) Run(context.Context, sandbox.Job) (sandbox.Outcome, error) {
	c.count(1)
	c.entered <- struct{}{}
	<-c.leave
	c.count(-1)
	return answer("done"), nil
}

func (c *crowd) Ping(context.Context) error { return nil }

func (c *crowd) count(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now += n
	c.most = max(c.most, c.now)
}

func TestSlotsAreNeverExceeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const slots, jobs = 3, 12
	room := &crowd{leave: make(chan struct{}), entered: make(chan struct{}, jobs)}
	c := unhurried()
	c.Slots = slots
	w.run(c, room)
	var refs []execution.Ref
	for i := range jobs {
		submit := w.submitToBatches
		if i%2 == 0 {
			submit = func(input string) execution.Ref { return w.submit("offline", input) }
		}
		refs = append(refs, submit(fmt.Sprint(i)))
	}
	for range slots {
		next(t, room.entered)
	}
	for range jobs - slots {
		room.leave <- struct{}{} // one out, one in
		next(t, room.entered)
	}
	close(room.leave)
	for _, ref := range refs {
		w.await(ref, execution.Succeeded)
	}
	require.Equal(t, slots, room.most)
}

// A slot is the job's: while the end of one is written, the next has begun.
func TestTheNextJobBeginsWhileAnEndIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := answering("done")
	begun := make(chan struct{})
	var ends atomic.Int32
	s := &spoilt{w.store, func(ctx context.Context, ev execution.Event) error {
		if _, finished := ev.(execution.Finished); finished && ends.Add(1) == 1 {
			select {
			case <-begun:
			case <-ctx.Done():
				return fmt.Errorf("%w: nothing began", store.ErrUnavailable)
			}
		}
		return nil
	}}
	c := unhurried()
	c.Slots = 1
	w.start(w.with(c, s, w.queue, b))
	first, second := w.submit("offline", "1"), w.submit("offline", "2")
	next(t, b.started)
	next(t, b.started)
	close(begun)
	w.await(first, execution.Succeeded)
	w.await(second, execution.Succeeded)
	require.EqualValues(t, 2, ends.Load(), "neither end had to be written twice")
}

// While the store is slow, no more is begun than has slots twice over.
func TestEndsThatWaitToBeWrittenAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := answering("done")
	written := make(chan struct{})
	ending := make(chan struct{}, 3)
	s := &spoilt{w.store, func(_ context.Context, ev execution.Event) error {
		if _, finished := ev.(execution.Finished); finished {
			ending <- struct{}{}
			<-written
		}
		return nil
	}}
	c := unhurried()
	c.Slots = 1
	x := w.with(c, s, w.queue, b)
	w.start(x)
	refs := []execution.Ref{w.submit("offline", "1"), w.submit("offline", "2"), w.submit("offline", "3")}
	next(t, ending)
	next(t, ending)
	free, _ := x.slots.look(execution.Interactive)
	require.Zero(t, free, "the second keeps its slot")
	require.Len(t, b.started, 2)
	close(written)
	for _, ref := range refs {
		w.await(ref, execution.Succeeded)
	}
}

// However many inputs of batches wait, a run finds a slot.
func TestBatchesLeaveTheReservedSlots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b, gate := gated("done")
	c := unhurried()
	c.Slots, c.Reserved = 3, 1
	w.run(c, b)
	for i := range 6 {
		w.submitToBatches(fmt.Sprint(i))
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
type held struct {
	*queue.Queue
	pulled  chan struct{} // there is an answer
	release chan struct{}
}

func (q held) Pull(ctx context.Context, lane execution.Lane, most int) ([]queue.Announcement, error) {
	announced, err := q.Queue.Pull(ctx, lane, most)
	if lane == execution.Batch {
		q.pulled <- struct{}{}
		<-q.release
	}
	return announced, err
}

// What comes when the slot has gone to the other lane is another executor's at once.
func TestWhatHasNoSlotGoesToAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	busy, gate := gated("done")
	defer close(gate)
	q := held{w.queue, make(chan struct{}, 100), make(chan struct{})}
	c := unhurried()
	c.Slots = 1
	w.start(w.with(c, w.store, q, busy))
	batched := w.submitToBatches("x")
	next(t, q.pulled)
	w.submit("offline", "y")
	next(t, busy.started)
	close(q.release)

	w.run(unhurried(), answering("done by another"))
	e := w.await(batched, execution.Succeeded)
	require.Equal(t, "done by another", e.Result.Text)
	require.Equal(t, 1, e.Attempt)
}

// What was pulled just as the stop came is given back, not begun.
func TestWhatIsPulledWithTheStopIsGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	never := answering("never")
	q := held{w.queue, make(chan struct{}, 100), make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.with(unhurried(), w.store, q, never).Run(ctx) }()
	ref := w.submitToBatches("x")
	next(t, q.pulled)
	stop()
	close(q.release)
	require.NoError(t, next(t, ended))
	require.Empty(t, never.started)

	w.run(unhurried(), answering("done by another"))
	require.Equal(t, 1, w.await(ref, execution.Succeeded).Attempt)
}

// An Engine that went away for a moment keeps nobody from the free slots while
// a job that outlived that still runs.
func TestPullingGoesOnWhileJobsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gate := make(chan struct{})
	defer close(gate)
	var b *box
	b = newBox(func(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		switch strings.TrimSpace(string(job.Stdin)) {
		case "long":
			<-gate
		case "broken by that":
			return sandbox.Outcome{}, b.Ping(ctx)
		}
		return answer("done"), nil
	})
	w.run(unhurried(), b)
	w.submit("offline", "long")
	next(t, b.started)
	b.setGone(errors.New("no Engine"))
	w.submit("offline", "broken by that")
	require.Error(t, next(t, b.ended))
	b.setGone(nil)
	w.await(w.submit("offline", "short"), execution.Succeeded)
}
