package quota

import (
	"context"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Apply applies an event to a stored execution. A claim of an execution whose tenant has no capacity throttles it and
// returns execution.ErrThrottled. After any other event, Run releases throttled executions of the tenant, unless the
// execution is still running. An error triggers this too: the event may have been written and only its answer lost.
func (e *Enforcer) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if claim, ok := ev.(execution.Claimed); ok {
		return e.claim(ctx, ref, claim)
	}
	ch, err := e.store.Apply(ctx, ref, ev)
	if e.limits.Running > 0 && ch.Execution.Status != execution.Running {
		e.pendingReleases.Add(ref.Tenant)
	}
	return ch, err
}

// claim lets one claim of a tenant through at a time. Two processes can count at the same moment and both claim. So
// each further process can exceed the limit by one.
func (e *Enforcer) claim(ctx context.Context, ref execution.Ref, ev execution.Claimed) (execution.Change, error) {
	if e.limits.Running > 0 {
		u := e.usage(ref.Tenant)
		if err := u.claimSem.Acquire(ctx, 1); err != nil {
			return execution.Change{}, err
		}
		defer u.claimSem.Release(1)
	}
	hasCapacity, err := e.hasCapacity(ctx, ref.Tenant)
	if err == nil && !hasCapacity {
		var ch execution.Change
		if ch, err = e.store.Apply(ctx, ref, execution.Throttled{}); err != nil {
			return ch, err
		}
		// An attempt that ended between the first check and Throttled has released others, but not this execution.
		hasCapacity, err = e.hasCapacity(ctx, ref.Tenant)
	}
	switch {
	case err != nil:
		return execution.Change{}, err
	case !hasCapacity:
		return execution.Change{}, execution.ErrThrottled
	default:
		return e.store.Apply(ctx, ref, ev)
	}
}

// hasCapacity reports whether another execution of the tenant may run. Running executions are counted each time:
// a claim happens once per attempt, and an old count would leave free capacity unused.
func (e *Enforcer) hasCapacity(ctx context.Context, tenant string) (bool, error) {
	if e.limits.Running > 0 {
		running, err := e.store.CountRunning(ctx, tenant, e.limits.Running)
		if err != nil || running >= e.limits.Running {
			return false, err
		}
	}
	if e.limits.DailyUSD > 0 {
		u := e.usage(tenant)
		u.mu.Lock()
		defer u.mu.Unlock()
		if err := e.refresh(ctx, tenant, u, maxAgeToAdmit); err != nil || e.budgetExceeded(u) {
			return false, err
		}
	}
	return true, nil
}
