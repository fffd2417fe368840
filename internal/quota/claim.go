package quota

import (
	"context"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Apply is the store's, but an execution whose tenant may run no more now is
// held instead of claimed, with execution.ErrHeld. After every other event Run
// looks whether others may run now, unless the execution is known to run on: so
// it does not matter which event ended an attempt, nor whether its answer came.
func (s *Store) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if claim, ok := ev.(execution.Claimed); ok {
		return s.claim(ctx, ref, claim)
	}
	ch, err := s.Store.Apply(ctx, ref, ev)
	if s.limits.Running > 0 && ch.Execution.Status != execution.Running {
		s.freed.Leave(ref.Owner)
	}
	return ch, err
}

// claim lets one of a tenant's claims through at a time. So each process passes
// the limit by at most the one that it may have counted too few for.
func (s *Store) claim(ctx context.Context, ref execution.Ref, ev execution.Claimed) (execution.Change, error) {
	if s.limits.Running > 0 {
		t := s.tally(ref.Owner)
		if err := t.claiming.Acquire(ctx, 1); err != nil {
			return execution.Change{}, err
		}
		defer t.claiming.Release(1)
	}
	room, err := s.room(ctx, ref.Owner)
	if err == nil && !room {
		var ch execution.Change
		if ch, err = s.Store.Apply(ctx, ref, execution.Held{}); err != nil {
			return ch, err
		}
		// What ended between the first look and the holding has released others, but not this one.
		room, err = s.room(ctx, ref.Owner)
	}
	switch {
	case err != nil:
		return execution.Change{}, err
	case !room:
		return execution.Change{}, execution.ErrHeld
	default:
		return s.Store.Apply(ctx, ref, ev)
	}
}

// room reports whether another execution of the owner may run. Those that run
// are counted each time: a claim happens once, and a place that is free is not
// to stay so for want of a count.
func (s *Store) room(ctx context.Context, owner string) (bool, error) {
	if s.limits.Running > 0 {
		running, err := s.CountRunning(ctx, owner, s.limits.Running)
		if err != nil || running >= s.limits.Running {
			return false, err
		}
	}
	if s.limits.DailyUSD > 0 {
		t := s.tally(owner)
		t.mu.Lock()
		defer t.mu.Unlock()
		if err := s.count(ctx, owner, t, fresh); err != nil || s.spentUp(t) {
			return false, err
		}
	}
	return true, nil
}
