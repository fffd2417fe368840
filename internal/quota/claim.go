package quota

import (
	"context"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Apply is the store's, but an execution whose tenant may run no more now is
// held instead of claimed, with execution.ErrHeld. After every other event Run
// looks whether others may run now, unless the execution is known to run on: so
// it does not matter which event ended an attempt, nor whether its answer came.
func (s *Enforcer) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if claim, ok := ev.(execution.Claimed); ok {
		return s.claim(ctx, ref, claim)
	}
	ch, err := s.Store.Apply(ctx, ref, ev)
	if s.limits.Running > 0 && ch.Execution.Status != execution.Running {
		s.pendingReleases.Add(ref.Tenant)
	}
	return ch, err
}

// claim lets one of a tenant's claims through at a time. So each process passes
// the limit by at most the one that it may have counted too few for.
func (s *Enforcer) claim(ctx context.Context, ref execution.Ref, ev execution.Claimed) (execution.Change, error) {
	if s.limits.Running > 0 {
		u := s.usage(ref.Tenant)
		if err := u.claimSem.Acquire(ctx, 1); err != nil {
			return execution.Change{}, err
		}
		defer u.claimSem.Release(1)
	}
	hasCapacity, err := s.hasCapacity(ctx, ref.Tenant)
	if err == nil && !hasCapacity {
		var ch execution.Change
		if ch, err = s.Store.Apply(ctx, ref, execution.Throttled{}); err != nil {
			return ch, err
		}
		// What ended between the first look and the holding has released others, but not this one.
		hasCapacity, err = s.hasCapacity(ctx, ref.Tenant)
	}
	switch {
	case err != nil:
		return execution.Change{}, err
	case !hasCapacity:
		return execution.Change{}, execution.ErrThrottled
	default:
		return s.Store.Apply(ctx, ref, ev)
	}
}

// room reports whether another execution of the tenant may run. Those that run
// are counted each time: a claim happens once, and a place that is free is not
// to stay so for want of a count.
func (s *Enforcer) hasCapacity(ctx context.Context, tenant string) (bool, error) {
	if s.limits.Running > 0 {
		running, err := s.CountRunning(ctx, tenant, s.limits.Running)
		if err != nil || running >= s.limits.Running {
			return false, err
		}
	}
	if s.limits.DailyUSD > 0 {
		u := s.usage(tenant)
		u.mu.Lock()
		defer u.mu.Unlock()
		if err := s.refresh(ctx, tenant, u, maxAgeToAdmit); err != nil || s.budgetExceeded(u) {
			return false, err
		}
	}
	return true, nil
}
