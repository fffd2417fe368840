// Package deadletter reads what Pub/Sub has given up, so that nothing waits for
// an executor that will never be able to look at it.
package deadletter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Store is where executions are. Apply is safe to repeat.
type Store interface {
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// Queue has the dead letters. PullDead waits for some and may return none.
type Queue interface {
	PullDeadLetters(ctx context.Context) ([]queue.DeadLetter, error)
	Publish(ctx context.Context, ch execution.Change) error
}

// Reader may run in any number of processes.
type Reader struct {
	store Store
	queue Queue
	log   *zap.Logger
}

// New returns a reader; Run starts it.
func New(s Store, q Queue, log *zap.Logger) *Reader { return &Reader{store: s, queue: q, log: log} }

// Run reads dead letters until ctx ends, through any fault of the store and the queue.
func (r *Reader) Run(ctx context.Context) error {
	return supervise.Run(ctx, r.log, "read dead letters", func(ctx context.Context) error {
		for {
			letters, err := r.queue.PullDeadLetters(ctx)
			if err != nil {
				return err
			}
			for _, letter := range letters {
				if handleErr := r.handle(ctx, letter); handleErr != nil {
					err = errors.Join(err, handleErr, letter.Nack(ctx))
					continue
				}
				letter.Acknowledge()
			}
			if err != nil {
				return err
			}
		}
	})
}

// read ends the execution that waits in vain. Of a letter that names none, only
// the size and the hash are written down: it may hold anything of anybody.
func (r *Reader) handle(ctx context.Context, letter queue.DeadLetter) (err error) {
	defer supervise.RecoverTo(&err)
	if letter.Ref == (execution.Ref{}) {
		hash := sha256.Sum256(letter.Data)
		r.log.Error("a dead letter names no execution", zap.Int("bytes", len(letter.Data)), zap.String("sha256", hex.EncodeToString(hash[:])))
		return nil
	}
	ch, err := r.store.Apply(ctx, letter.Ref, execution.DeadLettered{})
	var notFound *store.NotFoundError
	if errors.Is(err, execution.ErrTerminal) || errors.Is(err, execution.ErrLeased) || errors.As(err, &notFound) {
		return nil // somebody could look at it, or it is gone
	}
	if err != nil {
		return err
	}
	r.log.Error("no executor could take it on; it has failed", zap.String("execution", letter.Ref.ID), zap.String("tenant", letter.Ref.Tenant))
	return r.queue.Publish(ctx, ch)
}
