// Package deadletter ends the executions whose notifications became dead letters: Pub/Sub delivered them too often and
// no executor could acknowledge one. Without this they would stay queued until their queue time-out.
//
// It reads dead letters from the queue and applies execution.DeadLettered. It never publishes a dead letter again,
// and it never logs the data of a message that it cannot read.
package deadletter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// callTimeout bounds one call of the store.
	callTimeout = 5 * time.Second
	// maxConcurrent bounds how many dead letters are handled at the same time, so that a slow one does not stop the others.
	maxConcurrent = 16
)

// Applier changes executions. Apply is safe to repeat.
type Applier interface {
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Queue has the dead letters. PullDeadLetters waits for some and may return none. A failed Publish
// loses nothing: the janitor publishes again.
type Queue interface {
	PullDeadLetters(ctx context.Context) ([]queue.DeadLetter, error)
	Publish(ctx context.Context, ch execution.Change) error
}

// Reader may run in any number of processes.
type Reader struct {
	executions Applier
	queue      Queue
	log        *zap.Logger
	failed     *supervise.Backoffs[execution.Ref]
}

// New returns a reader; Run starts it.
func New(executions Applier, q Queue, log *zap.Logger) *Reader {
	return &Reader{
		executions: executions, queue: q, log: log,
		failed: supervise.NewBackoffs[execution.Ref](supervise.ReadDeadLetters, log, store.IsUnavailable),
	}
}

// Run reads dead letters until ctx ends, and continues after every error of the store and the queue.
func (r *Reader) Run(ctx context.Context) error {
	var work errgroup.Group // outlasts a pull that fails
	work.SetLimit(maxConcurrent)
	err := supervise.Run(ctx, r.log, "read dead letters", func(ctx context.Context) error {
		for {
			letters, err := r.queue.PullDeadLetters(ctx)
			if err != nil {
				return err
			}
			for _, letter := range letters {
				work.Go(func() error {
					r.handle(ctx, letter)
					return nil
				})
			}
		}
	})
	return errors.Join(err, work.Wait())
}

// handle processes a letter. One that fails, or whose back-off is not over, is not acknowledged. Pub/Sub delivers it
// again when its time for the acknowledgement is over.
func (r *Reader) handle(ctx context.Context, letter queue.DeadLetter) {
	if r.failed.Do(ctx, letter.Ref, func(ctx context.Context) error { return r.endExecution(ctx, letter) }) == nil {
		letter.Acknowledge()
	}
}

// endExecution ends the execution that a dead letter names. A letter that names none may hold anybody's data, so the
// log gets only its size and its hash.
func (r *Reader) endExecution(ctx context.Context, letter queue.DeadLetter) error {
	if letter.Ref == (execution.Ref{}) {
		hash := sha256.Sum256(letter.Data)
		r.log.Error("a dead letter names no execution", zap.Int("bytes", len(letter.Data)), zap.String("sha256", hex.EncodeToString(hash[:])))
		return nil
	}
	applyCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ch, err := r.executions.Apply(applyCtx, letter.Ref, execution.DeadLettered{})
	if store.IsRejection(err) {
		return nil // an executor has claimed or finished it, or it is deleted
	}
	if err != nil {
		return err
	}
	r.log.Error("execution dead-lettered and marked as failed", zap.String("execution", letter.Ref.ID), zap.String("tenant", letter.Ref.Tenant))
	if err := r.queue.Publish(ctx, ch); err != nil {
		r.log.Warn("could not publish the notifications of a change", zap.String("execution", letter.Ref.ID), zap.Error(err))
	}
	return nil
}
