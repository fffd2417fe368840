package membership

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

// LeaderStore has the fleet document and all sessions. WriteFleet returns store.ErrFleetChanged if the document has
// another version than the given one.
type LeaderStore interface {
	ReadFleet(ctx context.Context) (store.FleetSnapshot, error)
	WriteFleet(ctx context.Context, f fleet.Fleet, version time.Time) (written time.Time, err error)
	Sessions(ctx context.Context) ([]fleet.Session, time.Time, error)
	ExpiredSessions(ctx context.Context, now time.Time) ([]fleet.Session, error)
	DeleteSession(ctx context.Context, sessionID string) error
	RecoverUsage(ctx context.Context, sessionID string) error
}

const (
	// pollSpacing is the time between two looks of the fleet at the leader's lease. The followers that have partitions
	// take turns, so it does not depend on their number.
	pollSpacing = 4 * time.Second
	// Followers without a partition look every idlePollSpacing times the number of executors, and at least every
	// minIdlePoll apart. They only matter if all the others have died. One that has just begun may have been started
	// because they have died: for newcomerTime it looks whenever the lease that it knows would end.
	idlePollSpacing = 16 * time.Second
	minIdlePoll     = time.Minute
	newcomerTime    = 2 * fleet.SessionLease
	// callTimeout bounds each call of the store. An unanswered renewal of the leader's lease must leave time for more.
	callTimeout = fleet.RenewInterval / 2
	// The leader lists the sessions every busyListInterval while tenants wait, and otherwise every idleListInterval.
	// A join signal makes it do so at once, but not so often that it would read more than one session each
	// listTimePerSession.
	busyListInterval   = 5 * time.Second
	idleListInterval   = 75 * time.Second
	minListInterval    = 200 * time.Millisecond
	listTimePerSession = 5 * time.Millisecond
)

// LeaderConfig has the parts and settings of a Leader. All fields are required, except those that say otherwise.
type LeaderConfig struct {
	Store   LeaderStore
	Process string
	View    *View
	Signals Signaler // nil: no process is told about changes
	// OnExpired queues again what an expired session held. The session is deleted when it has returned nil. It is called
	// again after an error, and by another leader if this one stops. Several sessions may be handled at the same time.
	OnExpired func(ctx context.Context, session fleet.Session) error
	Log       *zap.Logger
}

// Leader takes part in the election of the leader, and leads while it is elected. One process leads at a time, as
// long as clocks run equally fast. What a leader does is safe also if two believe to lead: each write is conditional,
// or may be made twice.
type Leader struct {
	config  LeaderConfig
	joined  broadcast.Signal
	duties  []duty
	beganAt time.Time

	mu   sync.Mutex
	term *term // nil: this process does not lead
}

// duty is work that only the leader does.
type duty struct {
	name string
	run  func(context.Context) error
}

// NewLeader returns a leader; Run takes part in the election.
func NewLeader(c LeaderConfig) *Leader {
	return &Leader{config: c, joined: broadcast.NewSignal()}
}

// RunWhileLeading makes f run while this process leads. Its ctx ends when the leadership may have ended. If f returns
// before, it is started again after a back-off. It must be called before Run.
func (l *Leader) RunWhileLeading(name string, f func(context.Context) error) {
	l.duties = append(l.duties, duty{name, f})
}

// Joined makes the leader read the sessions. It does not wait. It serves signal.KindJoin.
func (l *Leader) Joined() { l.joined.Notify() }

// Leads reports whether this process certainly leads.
func (l *Leader) Leads() bool {
	_, leads := l.Now()
	return leads
}

// Now returns a time that Firestore's clock has certainly reached, and that is at most a few seconds behind it. It
// returns false if this process does not lead.
func (l *Leader) Now() (now time.Time, leads bool) {
	l.mu.Lock()
	t := l.term
	l.mu.Unlock()
	if t == nil || !t.lease.live() {
		return time.Time{}, false
	}
	return t.now(), true
}

// Run works until ctx ends. If this process leads then, another one can lead at once.
func (l *Leader) Run(ctx context.Context) error {
	l.beganAt = time.Now()
	return supervise.Run(ctx, l.config.Log, "elect the leader", func(ctx context.Context) error {
		for ctx.Err() == nil {
			t, err := l.awaitTerm(ctx)
			if err != nil {
				return err
			}
			l.setTerm(t)
			err = t.run(ctx)
			l.setTerm(nil)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (l *Leader) setTerm(t *term) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = t
}

// awaitTerm follows the leader until this process has been elected.
func (l *Leader) awaitTerm(ctx context.Context) (*term, error) {
	var maxAge time.Duration
	for {
		f, changed, err := l.config.View.snapshot(ctx, maxAge)
		if err != nil {
			return nil, err
		}
		maxAge = 0
		if !f.Led(f.Now) || f.Leader == l.config.Process {
			if t, err := l.takeOver(ctx, f); t != nil || err != nil {
				return t, err
			}
			continue // another process was faster
		}
		timer := time.NewTimer(nextPoll(f, l.config.Process, time.Since(l.beganAt)))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-changed:
			maxAge = callTimeout // another part of this process has just read it
		case <-timer.C:
		}
		timer.Stop()
	}
}

// takeOver tries to become the leader after the one whose lease has expired in f. It returns nil if another process has
// written in between.
func (l *Leader) takeOver(ctx context.Context, f store.FleetSnapshot) (*term, error) {
	t := &term{leader: l, fleet: f.Fleet, version: f.Version, joined: l.joined, listSoon: true}
	t.fleet.Leader = l.config.Process
	sentAt := time.Now()
	err := t.write(ctx, t.fleet)
	if err == nil {
		t.lease = newLease(sentAt, fleet.SessionLease)
		return t, nil
	}
	if errors.Is(err, store.ErrFleetChanged) {
		return nil, nil
	}
	return nil, err
}

// nextPoll returns when a follower, which began a while ago, reads the fleet document again.
func nextPoll(f store.FleetSnapshot, process string, age time.Duration) time.Duration {
	expiry := f.RenewedAt.Add(fleet.SessionLease)
	if f.Now.Sub(f.RenewedAt) > fleet.RenewInterval+callTimeout { // the leader has missed a renewal
		return expiry.Sub(f.Now)
	}
	followers := slices.Compact(slices.Sorted(slices.Values(f.Owners)))
	followers = slices.DeleteFunc(followers, func(p string) bool { return p == f.Leader })
	if len(followers) == 0 {
		return pollSpacing // nobody else would notice the end of the leader: this process has just begun
	}
	turn := slices.Index(followers, process)
	if turn < 0 && age < newcomerTime {
		return expiry.Sub(f.Now)
	}
	if turn < 0 {
		interval := max(minIdlePoll, time.Duration(f.Executors)*idlePollSpacing)
		return interval/2 + rand.N(interval)
	}
	// By Firestore's clock, which is the same for all.
	round := time.Duration(len(followers)) * pollSpacing
	start := f.Now.Truncate(round).Add(time.Duration(turn) * pollSpacing)
	for !start.After(f.Now.Add(pollSpacing / 2)) {
		start = start.Add(round)
	}
	return start.Sub(f.Now)
}
