package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// recountInterval is the time after which a batch is looked at again whose executions are not where they should be.
const recountInterval = 2 * time.Second

// cancelPageSize is how many executions of a canceled batch one query returns.
const cancelPageSize = 100

// batchState is what the dispatcher remembers about an unfinished batch.
type batchState struct {
	ref       batch.Ref
	runtime   string
	lane      *dispatch.Lane
	exhausted bool // every input has an execution
	canceled  bool
	finished  bool
	retryAt   time.Time // not before this time; zero: now
}

func (b *batchState) mayPublish(now time.Time, room rooms) bool {
	return !b.canceled && !b.finished && !now.Before(b.retryAt) && (b.lane.Waiting() > 0 || !b.exhausted) &&
		room.of(b.runtime) == dispatch.Free
}

// offer adds executions that were created for the batch.
func (b *batchState) offer(created []execution.Ref) {
	candidates := make([]dispatch.Candidate, len(created))
	for i, ref := range created {
		candidates[i] = dispatch.Candidate{ID: ref.ID, Runtime: b.runtime, BatchID: b.ref.ID}
	}
	b.lane.Offer(candidates)
}

// syncBatches reads which batches of the tenant are unfinished, and the queued executions of the new ones.
func (d *Dispatcher) syncBatches(ctx context.Context, t *tenantState) error {
	active, err := d.config.Store.ActiveBatches(ctx, t.name)
	if err != nil {
		return err
	}
	var batches []*batchState
	for _, a := range active {
		b := t.batch(a.ID)
		if b == nil {
			b = &batchState{ref: a.Ref(), runtime: a.Runtime, lane: dispatch.NewLane()}
			if err := d.readQueued(ctx, b); err != nil {
				return err
			}
		}
		if a.CancelRequested && !b.canceled {
			b.canceled, b.retryAt = true, time.Time{}
			b.lane.Rewind()
		}
		batches = append(batches, b)
	}
	t.batches = batches
	return nil
}

func (t *tenantState) batch(id string) *batchState {
	for _, b := range t.batches {
		if b.ref.ID == id {
			return b
		}
	}
	return nil
}

func (d *Dispatcher) readQueued(ctx context.Context, b *batchState) error {
	queued, err := d.config.Store.QueuedOfBatch(ctx, b.ref)
	if err != nil {
		return err
	}
	b.lane.Offer(queued)
	return nil
}

// fillBatches publishes executions of the batches in turns: the next place goes to the batch with the fewest in flight.
// A batch without queued executions gets some for its next inputs first. It also cancels and ends batches. A batch that
// fails does not stop the others.
func (d *Dispatcher) fillBatches(ctx context.Context, t *tenantState, f *fleet.Fleet, mayPublish bool) error {
	if mayPublish {
		if err := d.publishBatches(ctx, t, f); err != nil {
			return err
		}
	}
	now := time.Now()
	for _, b := range t.batches {
		if b.finished || now.Before(b.retryAt) || !b.canceled && (!b.exhausted || b.lane.InFlight()+b.lane.Waiting() > 0) {
			continue
		}
		d.work(ctx, b, d.endBatch)
	}
	t.batches = slices.DeleteFunc(t.batches, func(b *batchState) bool { return b.finished })
	return nil
}

// work does something for one batch, with a back-off of its own after a failure.
func (d *Dispatcher) work(ctx context.Context, b *batchState, f func(context.Context, *batchState) error) {
	b.retryAt = time.Time{}
	if err := d.batches.Do(ctx, b.ref, func(ctx context.Context) error { return f(ctx, b) }); err != nil {
		b.retryAt = time.Now().Add(d.batches.Wait(b.ref))
	}
}

func (d *Dispatcher) publishBatches(ctx context.Context, t *tenantState, f *fleet.Fleet) error {
	now := time.Now()
	lanes := make([]*dispatch.Lane, len(t.batches))
	for i, b := range t.batches {
		lanes[i] = b.lane
	}
	room := d.rooms(t, f, execution.LaneBatch, lanes...)
	var published []dispatch.Candidate
	taken := map[*batchState][]dispatch.Candidate{}
	for free := d.free(t); free > 0; {
		b := t.nextBatch(now, room)
		if b == nil {
			break
		}
		if b.lane.Waiting() == 0 {
			d.work(ctx, b, d.expand)
		}
		for _, c := range b.lane.Take(1, now, room.of) {
			taken[b] = append(taken[b], c)
			published = append(published, c)
			free--
		}
	}
	if len(published) == 0 {
		return nil
	}
	failpoint.Hit(failpoint.BatchDispatched)
	if err := d.publish(ctx, t, execution.LaneBatch, published); err != nil {
		for b, candidates := range taken {
			b.lane.PutBack(candidates)
		}
		return err
	}
	return nil
}

// nextBatch returns the batch that gets the next place: the one with the fewest executions in flight, or the oldest of
// them. nil: none may be published.
func (t *tenantState) nextBatch(now time.Time, room rooms) (next *batchState) {
	for _, b := range t.batches {
		if b.mayPublish(now, room) && (next == nil || b.lane.InFlight() < next.lane.InFlight()) {
			next = b
		}
	}
	return next
}

// expand gives the next inputs of a batch their executions.
func (d *Dispatcher) expand(ctx context.Context, b *batchState) error {
	stored, created, err := d.config.Store.DispatchBatch(ctx, b.ref)
	if errors.Is(err, batch.ErrConflict) {
		b.retryAt = time.Now().Add(recountInterval) // another dispatcher has done it
		return d.readQueued(ctx, b)
	}
	if err != nil {
		return err
	}
	b.offer(created)
	b.exhausted = stored.NextInput == stored.Total
	if stored.CancelRequested {
		b.canceled = true
		b.lane.Rewind()
	}
	d.recordFinish(b, &stored)
	return nil
}

// endBatch cancels the executions of a canceled batch, and ends a batch when nothing of it is in flight. If something
// is, of which this dispatcher does not know, it looks again later.
func (d *Dispatcher) endBatch(ctx context.Context, b *batchState) error {
	if b.canceled {
		if err := d.cancelInFlight(ctx, b); err != nil {
			return err
		}
	}
	stored, created, err := d.config.Store.DispatchBatch(ctx, b.ref)
	if err != nil && !errors.Is(err, batch.ErrConflict) {
		return err
	}
	b.offer(created)
	if !d.recordFinish(b, &stored) {
		b.retryAt = time.Now().Add(recountInterval)
		if !b.canceled {
			return d.readQueued(ctx, b)
		}
	}
	return nil
}

func (d *Dispatcher) recordFinish(b *batchState, stored *batch.Batch) bool {
	if stored.FinishedAt == nil {
		return false
	}
	b.finished = true
	log := d.log.With(zap.String("batch", b.ref.ID), zap.String("tenant", b.ref.Tenant), zap.Int("inputs", stored.Total))
	if stored.LostInputs > 0 {
		log.Error("batch finished without the inputs that are not in the store", zap.Int("lost", stored.LostInputs))
	} else {
		log.Info("batch finished")
	}
	return true
}

// cancelInFlight cancels the executions of a batch, several at a time. One that cannot be canceled does not stop the
// others; the error gives the batch another turn.
func (d *Dispatcher) cancelInFlight(ctx context.Context, b *batchState) (failed error) {
	for scan := new(store.Scan); ; {
		refs, err := d.config.Store.BatchInFlight(ctx, b.ref, scan, cancelPageSize)
		if err != nil {
			return err
		}
		ended, errs := make([]bool, len(refs)), make([]error, len(refs))
		var canceling errgroup.Group
		canceling.SetLimit(maxConcurrent)
		for i, ref := range refs {
			canceling.Go(func() error {
				ended[i], errs[i] = d.cancelExecution(ctx, ref)
				return nil
			})
		}
		_ = canceling.Wait() // always nil
		for i, ref := range refs {
			if ended[i] {
				b.lane.End(ref.ID, "", time.Now())
			}
			if errs[i] != nil && failed == nil {
				failed = fmt.Errorf("cancel execution %s: %w", ref.ID, errs[i])
			}
		}
		if scan.AtFront() || ctx.Err() != nil {
			return failed
		}
	}
}

// cancelExecution reports whether the execution has ended.
func (d *Dispatcher) cancelExecution(ctx context.Context, ref execution.Ref) (ended bool, err error) {
	defer supervise.RecoverTo(&err)
	applyCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	change, err := d.config.Executions.Apply(applyCtx, ref, execution.CancelRequested{})
	if err != nil {
		if store.IsRejection(err) {
			return true, nil
		}
		return false, err
	}
	if change.Execution.Status.Terminal() {
		return true, nil
	}
	if err := d.config.Publisher.Publish(ctx, change); err != nil {
		d.log.Warn("could not publish the notifications of a change", zap.String("execution", ref.ID), zap.Error(err))
	}
	return false, nil
}
