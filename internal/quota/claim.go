package quota

import (
	"context"

	"github.com/airlock-run/airlock/internal/execution"
)

// Apply is the store's, but an execution whose tenant may run no more now is
// held instead of claimed, with execution.ErrHeld. It is announced again by
// Run when one of the tenant's ends, or by the janitor.
func (s *Store) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	if _, claim := ev.(execution.Claimed); !claim {
		return s.Store.Apply(ctx, ref, ev)
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
