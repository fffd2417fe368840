package dispatcher

import (
	"context"
	"time"

	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

const (
	// minCheckInterval and maxCheckInterval bound the time between two checks of what is in flight. It grows from the
	// moment when the process begins to dispatch for the tenant, because until then nobody told it of ends: such an end
	// is noticed within a quarter of the time since then.
	minCheckInterval = time.Second
	maxCheckInterval = time.Minute
	// checkAge is the age from which an execution in flight is checked: its end may have been missed.
	checkAge = 10 * time.Second
	// maxDeferral is longer than the back-off after a failed attempt. An execution that waits longer for its next attempt
	// gives up its place.
	maxDeferral = 2 * time.Minute
	// maxChecked bounds how many executions one check reads.
	maxChecked = 300
)

type checkSchedule struct {
	at       time.Time
	interval time.Duration
}

func (s *checkSchedule) start(now time.Time) {
	s.interval = minCheckInterval
	s.at = now.Add(s.interval)
}

func (s *checkSchedule) next(now time.Time) {
	s.interval = min(s.interval*5/4, maxCheckInterval)
	s.at = now.Add(s.interval)
}

// checkInFlight reads what has become of executions in flight of which nothing was heard. It is the fallback for a lost
// signal of an end, and for a lost notification.
func (d *Dispatcher) checkInFlight(ctx context.Context, t *tenantState, now time.Time) error {
	if now.Before(t.check.at) {
		return nil
	}
	if err := d.checkLane(ctx, t, execution.LaneInteractive, t.interactive.Lane, now); err != nil {
		return err
	}
	for _, b := range t.batches {
		if err := d.checkLane(ctx, t, execution.LaneBatch, b.lane, now); err != nil {
			return err
		}
	}
	t.check.next(now)
	return nil
}

func (d *Dispatcher) checkLane(ctx context.Context, t *tenantState, lane execution.Lane, l *dispatch.Lane, now time.Time) error {
	unreported := l.Unreported(now, checkAge)
	unreported = unreported[:min(len(unreported), maxChecked)]
	if len(unreported) == 0 {
		return nil
	}
	standings, err := d.config.Store.Standings(ctx, t.name, unreported)
	if err != nil {
		return err
	}
	var lost []dispatch.Candidate
	for _, id := range unreported {
		standing := standings[id]
		switch {
		case standing.Status == execution.Running:
		case standing.Status == execution.Queued && standing.Deferred >= maxDeferral: // for its agent's budget of another day
			l.GiveUp(id)
		case standing.Status == execution.Queued:
			if standing.Deferred <= 0 && l.Republish(id, now) {
				lost = append(lost, dispatch.Candidate{ID: id, Runtime: standing.Runtime})
			}
		default: // it has ended, or was deleted
			l.End(id, "", now)
		}
	}
	return d.publish(ctx, t, lane, lost)
}

// spending is what a tenant has spent today: as it was read, and what has ended since.
type spending struct {
	usd    float64
	readAt time.Time
}

func (s *spending) add(usd float64) { s.usd += usd }

// spendingMaxAge is how long a read of what was spent is used. Other processes end executions too.
const spendingMaxAge = 10 * time.Second

// mayPublish reports whether anything of the tenant may be published: it is not paused, and its daily budget is not
// used up.
func (d *Dispatcher) mayPublish(ctx context.Context, t *tenantState, now time.Time) (bool, error) {
	if t.stored.Paused {
		return false, nil
	}
	limit := d.config.Limits.DailyUSD
	if t.stored.MaxDailyUSD != nil {
		limit = *t.stored.MaxDailyUSD
	}
	if limit <= 0 {
		return true, nil
	}
	if now.Sub(t.spent.readAt) >= spendingMaxAge {
		spent, err := d.config.Store.SpentToday(ctx, t.name)
		if err != nil {
			return false, err
		}
		t.spent = spending{usd: usage.USD(spent.NanoUSD), readAt: now}
	}
	return t.spent.usd < limit, nil
}
