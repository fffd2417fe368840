// Package batchdispatch creates and publishes the executions of batches.
//
// It reads the batches that are due and the finished executions of batches, and creates as many executions for the
// next inputs as the window of the tenant allows. So the queue never holds more than the window, however large a
// batch is, and the batches of all tenants take turns. Batch.Share and Batch.Capacity decide how many inputs of a batch
// are dispatched; this package decides which batch has its turn. It also cancels the executions of a canceled batch.
//
// It never runs an execution, and it keeps no state that another process needs: any number of dispatchers may run.
package batchdispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Interval is the time between two polls for due batches. A poll finds the batches for which OnExecutionFinished is not
// called: new ones, canceled ones, and those of a dispatcher that died.
const Interval = time.Second

const (
	// debounceInterval is how long finished executions are collected, so that many of them cause one dispatch.
	debounceInterval = 20 * time.Millisecond
	// maxConcurrent bounds how many batches are dispatched at the same time, so that a slow one does not stop the others.
	maxConcurrent = 8
	// pageSize is how many batches or executions one query returns.
	pageSize = 100
	// callTimeout bounds one call of the store, except for DispatchBatch.
	callTimeout = 5 * time.Second
	// dispatchTimeout bounds DispatchBatch: four reads, and a transaction that creates up to a window of executions and
	// is repeated after a conflict.
	dispatchTimeout = 20 * time.Second
)

// Store reads and dispatches batches. Its methods are safe to repeat, by any number of dispatchers: DispatchBatch
// returns batch.ErrConflict to all but one of them.
type Store interface {
	DueBatches(ctx context.Context, scan *store.Scan, limit int) ([]batch.Ref, error)
	DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error)
	BatchInFlight(ctx context.Context, ref batch.Ref, scan *store.Scan, limit int) ([]execution.Ref, error)
}

// Applier changes executions. Apply is safe to repeat.
type Applier interface {
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Publisher publishes the notifications of a change. A failed call loses nothing: the janitor publishes again.
type Publisher interface {
	Publish(ctx context.Context, ch execution.Change) error
}

// Config has the parts and settings of a Dispatcher. All fields are required.
type Config struct {
	Store      Store
	Executions Applier // the quota's, because canceling an execution may release a throttled one
	Publisher  Publisher
	Interval   time.Duration // between two polls for due batches
	Log        *zap.Logger
}

// Dispatcher may run in any number of processes.
type Dispatcher struct {
	config  Config
	due     store.Scan
	pending *supervise.WorkQueue[batch.Ref] // batches that may have capacity in their window
}

// New returns a dispatcher; Run starts it.
func New(c Config) *Dispatcher {
	backoffs := supervise.NewBackoffs[batch.Ref](supervise.DispatchBatches, c.Log, store.IsUnavailable)
	return &Dispatcher{config: c, pending: supervise.NewWorkQueue(backoffs, debounceInterval)}
}

// OnExecutionFinished makes the dispatcher continue the batch of a finished execution, if it has one. It never blocks.
func (d *Dispatcher) OnExecutionFinished(e execution.Execution) {
	if e.BatchID != "" {
		d.pending.Add(batch.Ref{Tenant: e.Tenant, ID: e.BatchID})
	}
}

// Run dispatches until ctx ends, and continues after every error of the store. A batch that fails is tried again after
// a back-off of its own.
func (d *Dispatcher) Run(ctx context.Context) error {
	var loops errgroup.Group
	loops.Go(func() error {
		return supervise.Run(ctx, d.config.Log, "find due batches", supervise.Every(d.config.Interval, d.poll))
	})
	loops.Go(func() error {
		d.pending.Run(ctx, maxConcurrent, d.dispatch)
		return nil
	})
	return loops.Wait()
}

// poll adds a page of the batches that are due to the pending ones.
func (d *Dispatcher) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	due, err := d.config.Store.DueBatches(ctx, &d.due, pageSize)
	for _, ref := range due {
		d.pending.Add(ref)
	}
	return err
}

// dispatch gives a batch one turn: it creates the executions for its next inputs, or cancels those in flight when the
// batch is canceled. If it created executions, the batch goes behind the other pending ones. Dispatching it again at
// once would starve them.
func (d *Dispatcher) dispatch(ctx context.Context, ref batch.Ref) error {
	dispatchCtx, cancel := context.WithTimeout(ctx, dispatchTimeout)
	defer cancel()
	b, change, err := d.config.Store.DispatchBatch(dispatchCtx, ref)
	if errors.Is(err, batch.ErrConflict) {
		return nil // another dispatcher has this turn, or the batch has finished
	}
	if err != nil {
		return err
	}
	if b.CancelRequested && b.FinishedAt == nil {
		return d.cancelInFlight(ctx, ref)
	}
	if b.FinishedAt != nil {
		d.logFinished(&b)
	}
	if len(change.Notify) > 0 {
		failpoint.Hit(failpoint.BatchDispatched)
		d.publish(ctx, change)
		d.pending.Add(ref)
	}
	return nil
}

func (d *Dispatcher) logFinished(b *batch.Batch) {
	log := d.config.Log.With(zap.String("batch", b.ID), zap.String("tenant", b.Tenant), zap.Int("inputs", b.Total))
	if b.LostInputs > 0 {
		log.Error("batch finished without the inputs that are not in the store", zap.Int("lost", b.LostInputs))
		return
	}
	log.Info("batch finished")
}

// cancelInFlight cancels the executions of a batch. One that cannot be canceled does not stop the others; the error
// makes the batch pending again.
func (d *Dispatcher) cancelInFlight(ctx context.Context, ref batch.Ref) (failed error) {
	for scan := new(store.Scan); ; {
		refs, err := d.batchInFlight(ctx, ref, scan)
		if err != nil {
			return err
		}
		for _, executionRef := range refs {
			if err := d.cancelExecution(ctx, executionRef); err != nil && failed == nil {
				failed = fmt.Errorf("cancel execution %s: %w", executionRef.ID, err)
			}
		}
		if scan.AtFront() || ctx.Err() != nil {
			return failed
		}
	}
}

func (d *Dispatcher) batchInFlight(ctx context.Context, ref batch.Ref, scan *store.Scan) ([]execution.Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return d.config.Store.BatchInFlight(ctx, ref, scan, pageSize)
}

func (d *Dispatcher) cancelExecution(ctx context.Context, ref execution.Ref) (err error) {
	defer supervise.RecoverTo(&err)
	applyCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	change, err := d.config.Executions.Apply(applyCtx, ref, execution.CancelRequested{})
	if store.IsRejection(err) {
		return nil // it has ended
	}
	if err != nil {
		return err
	}
	d.publish(ctx, change)
	if change.Execution.Status.Terminal() {
		d.OnExecutionFinished(change.Execution)
	}
	return nil
}

func (d *Dispatcher) publish(ctx context.Context, ch execution.Change) {
	if err := d.config.Publisher.Publish(ctx, ch); err != nil {
		d.config.Log.Warn("could not publish the notifications of a change", zap.String("execution", ch.Execution.ID), zap.Error(err))
	}
}
