package dispatcher

import (
	"context"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/dispatch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

const (
	// pageSize is how many waiting executions one query reads.
	pageSize = 100
	// lookOverlap is how far the next look reaches back before the time of the one before: the time of an execution is
	// that of a read before its write, so it may appear behind a later one. The write takes at most 5 s, and the time of
	// a look is known up to the duration of a call.
	lookOverlap = 15 * time.Second
	// rewindInterval is the time after which the waiting executions are read from the oldest again: a process that was
	// paused between its read and its write may have stored one behind what was read.
	rewindInterval = time.Hour
	// emptyTime is how long nothing waits before the dispatcher lets the API publish directly again.
	emptyTime = time.Second
)

// lookIntervals are the times between two looks for new executions behind the newest one that is known, by the state of
// the lane. The API does not signal executions of a lane that waits already. It signals the first one of an idle lane.
var lookIntervals = map[tenant.LaneState]time.Duration{
	tenant.LaneWaiting: 250 * time.Millisecond, tenant.LaneDraining: drainTime / 4, tenant.LaneIdle: maxTurnInterval,
}

// interactiveLane is the lane of single runs and conversations, and how far its waiting executions are read.
type interactiveLane struct {
	*dispatch.Lane

	from     time.Time // the next page begins behind this position
	after    string
	atEnd    bool      // the newest waiting execution has been read
	passAt   time.Time // Firestore's time when the first page up to the newest one was read; zero: nothing is read
	now      time.Time // Firestore's time at nowAt, by the monotonic clock
	nowAt    time.Time
	lookedAt time.Time // when the last page was asked for, by the monotonic clock
	nextLook time.Time
	rewindAt time.Time // when everything is read again

	emptySince    time.Time // zero: something waits
	drainingSince time.Time
}

func (l *interactiveLane) lookSoon() { l.nextLook = time.Time{} }

// rewind makes the next page the first.
func (l *interactiveLane) rewind() {
	l.Rewind()
	l.from, l.after, l.atEnd, l.passAt = time.Time{}, "", false, time.Time{}
	l.rewindAt = time.Now().Add(rewindInterval)
	l.lookSoon()
}

// waits reports whether an execution is known to wait, or may wait where nothing has been read yet.
func (l *interactiveLane) waits() bool { return !l.atEnd || l.Waiting() > 0 || l.Held() || l.Behind() }

// firestoreNow is Firestore's time, give or take the duration of a call.
func (l *interactiveLane) firestoreNow() time.Time { return l.now.Add(time.Since(l.nowAt)) }

const (
	// maxPages bounds how many pages one turn reads of which nothing may be published.
	maxPages = 20
	// maxRemembered bounds how many waiting executions are remembered of which none may be published, because the
	// executors with their runtimes have no room. Those of other runtimes that were accepted after them wait as well.
	maxRemembered = 1000
)

// mayLook reports whether more waiting executions are of use.
func (l *interactiveLane) mayLook() bool { return l.Ready() == 0 && l.Waiting() < maxRemembered }

// fillInteractive publishes as many of the oldest waiting executions as the window has places for.
func (d *Dispatcher) fillInteractive(ctx context.Context, t *tenantState, f *fleet.Fleet) error {
	l := &t.interactive
	if time.Now().After(l.rewindAt) {
		l.rewind()
	}
	room := d.rooms(t, f, execution.LaneInteractive, l.Lane)
	l.Recheck()
	for pages := 0; pages < maxPages; {
		if l.mayLook() && !time.Now().Before(l.nextLook) {
			if err := d.look(ctx, t); err != nil {
				return err
			}
		}
		free := d.free(t)
		if free <= 0 || room.full() || l.Ready() == 0 && (l.atEnd || !l.mayLook()) {
			return nil
		}
		taken := l.Take(free, time.Now(), room.of)
		if len(taken) == 0 {
			pages++ // all of this one were passed over
			continue
		}
		if err := d.publish(ctx, t, execution.LaneInteractive, taken); err != nil {
			l.PutBack(taken)
			return err
		}
	}
	return nil
}

// look reads the next page of the waiting executions. Behind the newest one a new pass begins. It reaches back to where
// an execution may have appeared since the pass before it began.
func (d *Dispatcher) look(ctx context.Context, t *tenantState) error {
	l := &t.interactive
	from, after := l.from, l.after
	if overlap := l.passAt.Add(-lookOverlap); l.atEnd && overlap.Before(from) {
		from, after = overlap, ""
	}
	passAt := l.passAt
	if l.atEnd || passAt.IsZero() {
		passAt = l.firestoreNow()
	}
	asked := time.Now()
	page, err := d.config.Store.Queued(ctx, t.name, from, after, pageSize)
	if err != nil {
		return err
	}
	if !page.Now.IsZero() {
		l.now, l.nowAt = page.Now, asked
	}
	l.Offer(page.Candidates)
	l.from, l.after, l.atEnd, l.passAt, l.lookedAt = page.From, page.After, page.Last, passAt, asked
	l.nextLook = time.Time{}
	if l.atEnd {
		l.nextLook = asked.Add(lookIntervals[t.stored.Backlog.Interactive])
	}
	return nil
}

// nextState returns the state of the lane for the tenant's document.
func (l *interactiveLane) nextState(state tenant.LaneState, now time.Time) tenant.LaneState {
	if l.waits() {
		l.emptySince, l.drainingSince = time.Time{}, time.Time{}
		return tenant.LaneWaiting
	}
	if l.emptySince.IsZero() {
		l.emptySince = now
	}
	switch {
	case state == tenant.LaneWaiting && now.Sub(l.emptySince) >= emptyTime:
		l.drainingSince = now
		return tenant.LaneDraining
	case state == tenant.LaneDraining && l.drainingSince.IsZero():
		l.drainingSince = now // another process had begun it
		return state
	case state == tenant.LaneDraining && l.lookedAt.Sub(l.drainingSince) >= drainTime:
		return tenant.LaneIdle
	default:
		return state
	}
}

// releaseHeld makes held executions wait again when other runtimes can be started.
func (t *tenantState) releaseHeld(f *fleet.Fleet) {
	startable := f.StartableRuntimes()
	if t.interactive.Held() && !slices.Equal(startable, t.heldBy) {
		t.interactive.rewind()
	}
	t.heldBy = startable
}
