package membership

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// maxConcurrentReaps bounds how many expired sessions are handled at the same time.
const maxConcurrentReaps = 4

// list reads all sessions.
func (t *term) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	startedAt := time.Now()
	sessions, now, err := t.leader.config.Store.Sessions(ctx)
	metrics.FleetReads.WithLabelValues("session").Add(float64(max(1, len(sessions))))
	if err != nil {
		return err
	}
	living := map[string]fleet.Session{}
	counts := map[fleet.Kind]int{}
	var undecided []string // processes that have not seen what an operator has decided
	for _, s := range sessions {
		if s.Expired(now) {
			continue
		}
		living[s.ID] = s
		counts[s.Kind]++
		if s.Executor != nil && s.Drain != s.Executor.Draining {
			undecided = append(undecided, s.Process)
		}
	}
	for _, kind := range []fleet.Kind{fleet.KindAPI, fleet.KindExecutor} {
		metrics.FleetSessions.WithLabelValues(string(kind)).Set(float64(counts[kind]))
	}
	t.mu.Lock()
	t.sessions = living
	t.mu.Unlock()
	t.listedAt, t.listSoon = startedAt, false
	t.tell(ctx, signal.KindDrain, undecided)
	return nil
}

func (t *term) living() []fleet.Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	byID := slices.Sorted(maps.Keys(t.sessions))
	sessions := make([]fleet.Session, len(byID))
	for i, id := range byID {
		sessions[i] = t.sessions[id]
	}
	return sessions
}

// reapLoop looks for expired sessions every fleet.RenewInterval, until ctx ends.
func (t *term) reapLoop(ctx context.Context) error {
	var reaping errgroup.Group // reaping a large session takes longer than the interval
	defer func() { _ = reaping.Wait() }()
	reaping.SetLimit(maxConcurrentReaps)
	inProgress := newSet()
	return supervise.Every(fleet.RenewInterval, func(ctx context.Context) error {
		expired, err := t.findExpired(ctx)
		if err != nil && ctx.Err() == nil {
			t.leader.config.Log.Warn("could not look for expired sessions", zap.Error(err))
		}
		for _, s := range expired {
			if !inProgress.add(s.ID) {
				continue
			}
			started := reaping.TryGo(func() error {
				defer inProgress.remove(s.ID)
				if err := t.reap(ctx, s); err != nil && ctx.Err() == nil {
					t.leader.config.Log.Warn("could not queue again what an expired session held; trying again",
						zap.String("session", s.ID), zap.Error(err))
				}
				return nil
			})
			if !started {
				inProgress.remove(s.ID)
			}
		}
		return nil
	})(ctx)
}

// findExpired returns the expired sessions. The partitions of a process that is among them move at once.
func (t *term) findExpired(ctx context.Context) ([]fleet.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	expired, err := t.leader.config.Store.ExpiredSessions(ctx, t.now())
	metrics.FleetReads.WithLabelValues("session").Add(float64(max(1, len(expired))))
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range expired {
		if _, known := t.sessions[s.ID]; known {
			delete(t.sessions, s.ID)
			t.joined.Notify()
		}
	}
	return expired, nil
}

// reap queues again what the session held, counts the usage that its process has not written, and then deletes the
// session.
func (t *term) reap(ctx context.Context, s fleet.Session) (err error) {
	defer supervise.RecoverTo(&err)
	log := t.leader.config.Log.With(zap.String("session", s.ID), zap.String("executor", s.Name))
	log.Info("a session has expired", zap.Time("renewedAt", s.RenewedAt))
	if s.Kind != fleet.KindAPI { // an API holds nothing
		if err := t.leader.config.OnExpired(ctx, s); err != nil {
			return err
		}
	}
	if err := t.leader.config.Store.RecoverUsage(ctx, s.ID); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return t.leader.config.Store.DeleteSession(ctx, s.ID)
}

// set is a set of names, safe for concurrent use.
type set struct {
	mu    sync.Mutex
	names map[string]bool
}

func newSet() *set { return &set{names: map[string]bool{}} }

// add reports whether the name was not in the set.
func (s *set) add(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := !s.names[name]
	s.names[name] = true
	return added
}

func (s *set) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.names, name)
}
