package membership

import (
	"context"
	"time"

	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
)

const (
	// runtimesMaxAge is the greatest age of the view by which a process says what executors can start.
	runtimesMaxAge = 10 * time.Second
	// noExecutorAfter is the time without a leader after which no executor lives: one of them would lead.
	noExecutorAfter = 2 * fleet.SessionLease
)

// StartableRuntimes returns the runtimes that a living executor can start; nil if that is not known. It reads the fleet
// document at most every 10 s.
func (v *View) StartableRuntimes(ctx context.Context) []string {
	f, _, err := v.snapshot(ctx, runtimesMaxAge)
	if err != nil {
		return nil
	}
	return startableRuntimes(f)
}

func startableRuntimes(f store.FleetSnapshot) []string {
	if f.Now.Sub(f.RenewedAt) >= noExecutorAfter {
		return []string{}
	}
	return f.StartableRuntimes()
}
