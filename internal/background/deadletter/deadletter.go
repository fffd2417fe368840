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
	PullDead(ctx context.Context) ([]queue.DeadLetter, error)
	Tell(ctx context.Context, ch execution.Change) error
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
	return supervise.Keep(ctx, r.log, "read dead letters", func(ctx context.Context) error {
		for {
			letters, err := r.queue.PullDead(ctx)
			if err != nil {
				return err
			}
			for _, l := range letters {
				if failed := r.read(ctx, l); failed != nil {
					err = errors.Join(err, failed, l.GiveBack(ctx))
					continue
				}
				l.Acknowledge()
			}
			if err != nil {
				return err
			}
		}
	})
}

// read ends the execution that waits in vain. Of a letter that names none, only
// the size and the hash are written down: it may hold anything of anybody.
func (r *Reader) read(ctx context.Context, l queue.DeadLetter) (err error) {
	defer supervise.Panic(&err)
	if l.Ref == (execution.Ref{}) {
		hash := sha256.Sum256(l.Data)
		r.log.Error("a dead letter names no execution", zap.Int("bytes", len(l.Data)), zap.String("sha256", hex.EncodeToString(hash[:])))
		return nil
	}
	ch, err := r.store.Apply(ctx, l.Ref, execution.DeadLettered{})
	var notFound *store.NotFoundError
	if errors.Is(err, execution.ErrTerminal) || errors.Is(err, execution.ErrLeased) || errors.As(err, &notFound) {
		return nil // somebody could look at it, or it is gone
	}
	if err != nil {
		return err
	}
	r.log.Error("no executor could take it on; it has failed", zap.String("execution", l.Ref.ID), zap.String("tenant", l.Ref.Owner))
	return r.queue.Tell(ctx, ch)
}
