package quota

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// hands is of how many tenants executions are released at once.
	hands = 8
	// callTimeout bounds the release of one tenant's executions.
	callTimeout = 5 * time.Second
)

// Run releases what was held until ctx ends, through any fault of the store. It
// has to outlast the last Apply: of a place that became free at the very end
// nobody else knows.
func (s *Store) Run(ctx context.Context) error {
	err := supervise.Keep(ctx, s.log, "release held executions", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-s.freed.News():
			}
			if err := s.look(ctx); err != nil {
				return err
			}
		}
	})
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := s.look(last); err != nil {
		s.log.Warn("could not release at the end what is held; the janitor will", zap.Error(err))
	}
	return err
}

// look releases what it can of every tenant of which a place may have become free.
func (s *Store) look(ctx context.Context) error {
	var looks errgroup.Group
	looks.SetLimit(hands)
	for _, owner := range s.freed.Take() {
		looks.Go(func() error {
			err := s.release(ctx, owner)
			if err != nil {
				s.freed.Leave(owner) // for when the store is back
			}
			return err
		})
	}
	return looks.Wait()
}

// release announces as many of the owner's oldest held executions as there is room for.
func (s *Store) release(ctx context.Context, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	held, err := s.OldestHeld(ctx, owner, s.limits.Running)
	if err != nil || len(held) == 0 {
		return err
	}
	running, err := s.CountRunning(ctx, owner, s.limits.Running)
	if err != nil {
		return err
	}
	for _, ref := range held[:min(len(held), s.limits.Running-running)] {
		change, err := s.Store.Apply(ctx, ref, execution.Released{})
		var notFound *store.NotFoundError
		if errors.Is(err, execution.ErrNotDue) || errors.Is(err, execution.ErrTerminal) || errors.As(err, &notFound) {
			continue // somebody else was faster
		}
		if err != nil {
			return err
		}
		if err := s.bell.Tell(ctx, change); err != nil {
			s.log.Warn("could not announce what was released; the janitor will",
				zap.String("execution", ref.ID), zap.String("tenant", ref.Owner), zap.Error(err))
		}
	}
	return nil
}
