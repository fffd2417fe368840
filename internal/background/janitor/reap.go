package janitor

import (
	"context"
	"errors"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// repairConcurrency bounds how many executions are repaired at the same time.
	repairConcurrency = 64
	// reapPageSize is how many executions of a session one query returns.
	reapPageSize = 512
)

// errNotReaped means that the store did not answer for some executions of a session.
var errNotReaped = errors.New("some executions of the session are still leased")

// Reap queues again what an expired session holds. The caller deletes the session when Reap has returned nil, and calls
// it again otherwise: what is queued already is not found any more, so it may be interrupted anywhere, and made twice.
// An execution that cannot be changed for another reason than an outage does not keep the session. The sweep finds it.
func (j *Janitor) Reap(ctx context.Context, session fleet.Session) error {
	for total := 0; ; {
		requeued, err := j.reapOnce(ctx, session.ID)
		total += requeued
		if err != nil {
			return err
		}
		if requeued == 0 { // a claim that took effect during the scan would be found by the next one
			j.config.Log.Info("reaped an expired session", zap.String("session", session.ID), zap.String("executor", session.Name),
				zap.Int("executions", total))
			return nil
		}
	}
}

// reapOnce reads the executions of a session from the first to the last.
func (j *Janitor) reapOnce(ctx context.Context, session string) (requeued int, err error) {
	for scan := new(store.Scan); ; {
		page, err := j.executionsOf(ctx, session, scan)
		if err != nil {
			return requeued, err
		}
		repaired, open := j.repairAll(ctx, page, execution.LeaseExpired{Session: session})
		requeued += repaired
		switch {
		case ctx.Err() != nil:
			return requeued, ctx.Err()
		case open > 0:
			return requeued, errNotReaped
		case scan.AtFront():
			return requeued, nil
		}
	}
}

func (j *Janitor) executionsOf(ctx context.Context, session string, scan *store.Scan) ([]execution.Ref, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return j.config.Store.ExecutionsOfSession(ctx, session, scan, reapPageSize)
}

// repairAll applies an event to executions, to several at the same time. It returns how many it has changed, and how
// many it must try again because the store did not answer.
func (j *Janitor) repairAll(ctx context.Context, refs []execution.Ref, ev execution.Event) (repaired, open int) {
	var succeeded, failed atomic.Int64
	var repairs errgroup.Group
	repairs.SetLimit(repairConcurrency)
	for _, ref := range refs {
		repairs.Go(func() error {
			err := j.failedRepairs.Do(ctx, ref, func(ctx context.Context) error { return j.repair(ctx, ref, ev) })
			switch {
			case err == nil:
				succeeded.Add(1)
			case store.IsUnavailable(err), errors.Is(err, supervise.ErrBackingOff):
				failed.Add(1)
			}
			return nil
		})
	}
	_ = repairs.Wait() // always nil
	return int(succeeded.Load()), int(failed.Load())
}
