package membership

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// SessionStore stores sessions. BeginSession and RenewSession may be repeated. RenewSession returns
// fleet.ErrSessionLost if the session does not exist any more.
type SessionStore interface {
	BeginSession(ctx context.Context, session fleet.Session) error
	RenewSession(ctx context.Context, sessionID string, executor *fleet.Executor) error
	EndSession(ctx context.Context, sessionID string) error
	Session(ctx context.Context, sessionID string) (fleet.Session, error)
}

// Signaler puts signals into the inboxes of processes. A signal that is lost costs time only.
type Signaler interface {
	SendSignals(ctx context.Context, signals ...signal.Signal) error
}

// MemberConfig has the parts and settings of a Member. All fields are required, except those that say otherwise.
type MemberConfig struct {
	Store   SessionStore
	Process string // ID of this program, unique, for as long as it runs
	Kind    fleet.Kind
	Name    string // of the executor; empty for an API
	Version string

	// Info says what the executor reports with each renewal. Nil for an API.
	Info func() fleet.Executor
	// OnLost is called when a session is lost. It returns when all jobs of that session are gone, or when ctx ends.
	// The next session begins after that. Nil: there are no jobs.
	OnLost func(ctx context.Context)
	// OnDrain is called when an operator has decided that the executor drains, or that it does not any more. Nil for
	// an API.
	OnDrain func(drain bool)

	// View, Signals and Leader tell the leader about a session; it may be this process. Nil: it finds out by itself.
	View    *View
	Signals Signaler
	Leader  *Leader

	Lease    time.Duration // 0: fleet.SessionLease
	Interval time.Duration // of renewals; 0: fleet.RenewInterval
	Log      *zap.Logger
}

// Member runs the sessions of this process, one after another.
type Member struct {
	config   MemberConfig
	renewNow broadcast.Signal
	drainNow broadcast.Signal

	mu      sync.Mutex
	count   int // sessions so far
	current *Session
	began   chan struct{} // closed and replaced when a session begins
	drain   bool          // what an operator has decided
}

// NewMember returns a member without a session; Run begins one.
func NewMember(c MemberConfig) *Member {
	if c.Lease == 0 {
		c.Lease = fleet.SessionLease
	}
	if c.Interval == 0 {
		c.Interval = fleet.RenewInterval
	}
	return &Member{config: c, renewNow: broadcast.NewSignal(), drainNow: broadcast.NewSignal(), began: make(chan struct{})}
}

// Process returns the ID of this process.
func (m *Member) Process() string { return m.config.Process }

// Current returns the session of this process, and false while it has none that is certainly live.
func (m *Member) Current() (Session, bool) {
	m.mu.Lock()
	current := m.current
	m.mu.Unlock()
	if current == nil || !current.Live() {
		return Session{}, false
	}
	return *current, true
}

// SessionID returns the ID of the session, and false while there is none that is certainly live.
func (m *Member) SessionID() (id string, ok bool) {
	s, ok := m.Current()
	return s.ID, ok
}

// Await waits for a live session. It returns the cause of ctx if that ends first.
func (m *Member) Await(ctx context.Context) (Session, error) {
	for {
		m.mu.Lock()
		began := m.began
		m.mu.Unlock()
		if s, ok := m.Current(); ok {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return Session{}, context.Cause(ctx)
		case <-began:
		}
	}
}

// Renew makes the member renew its session at once, because Info has changed. It does not wait.
func (m *Member) Renew() { m.renewNow.Notify() }

// Drain makes the member read what an operator has decided. It does not wait. It serves signal.KindDrain.
func (m *Member) Drain() { m.drainNow.Notify() }

// Run has a session until ctx ends. Then it ends the session, so the caller must stop all jobs before.
func (m *Member) Run(ctx context.Context) error {
	return supervise.Run(ctx, m.config.Log, "session", m.runSession)
}

// runSession begins a session and renews it until it is lost, and returns when its jobs are gone.
func (m *Member) runSession(ctx context.Context) error {
	s, sent, err := m.begin(ctx)
	if err != nil {
		return err
	}
	err = m.keep(ctx, s, sent)
	s.lease.end()
	if ctx.Err() == nil {
		metrics.SessionsLost.Inc()
		m.config.Log.Error("the session is lost; ending its jobs", zap.String("session", s.ID), zap.Error(err))
		if m.config.OnLost != nil {
			m.config.OnLost(ctx)
		}
	}
	// Nothing of the session is left, so its expiry need not be awaited.
	endCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.config.Interval/2)
	defer cancel()
	if err := m.config.Store.EndSession(endCtx, s.ID); err != nil {
		m.config.Log.Warn("could not end the session; it expires", zap.String("session", s.ID), zap.Error(err))
	} else {
		m.tellLeader(endCtx)
	}
	return err
}

// begin begins the next session. It returns what it has reported about the executor.
func (m *Member) begin(ctx context.Context) (Session, *fleet.Executor, error) {
	m.mu.Lock()
	m.count++
	id := fmt.Sprintf("%s.%d", m.config.Process, m.count)
	m.mu.Unlock()
	for {
		info := m.info()
		sentAt := time.Now()
		err := m.call(ctx, m.config.Interval/2, func(ctx context.Context) error {
			return m.config.Store.BeginSession(ctx, fleet.Session{
				ID: id, Process: m.config.Process, Kind: m.config.Kind, Name: m.config.Name, Version: m.config.Version,
				Drain: m.drains(), Executor: info,
			})
		})
		if err == nil {
			s := Session{ID: id, lease: newLease(sentAt, m.config.Lease)}
			m.mu.Lock()
			m.current = &s
			close(m.began)
			m.began = make(chan struct{})
			m.mu.Unlock()
			m.config.Log.Info("session began", zap.String("session", id))
			m.tellLeader(ctx)
			return s, info, nil
		}
		m.config.Log.Warn("could not begin a session", zap.String("session", id), zap.Error(err))
		select {
		case <-ctx.Done():
			return Session{}, nil, ctx.Err()
		case <-time.After(m.config.Interval/2 - time.Since(sentAt)):
		}
	}
}

// keep renews the session until it is lost or ctx ends. A renewal without an answer is repeated after half of the
// interval, so that one call that hangs does not use up the lease.
func (m *Member) keep(ctx context.Context, s Session, reported *fleet.Executor) (err error) {
	defer supervise.RecoverTo(&err)
	timer := time.NewTimer(m.config.Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.Lost():
			return fleet.ErrSessionLost
		case <-m.drainNow:
			m.readDrain(ctx, s)
			continue
		case <-m.renewNow:
		case <-timer.C:
		}
		if !s.Live() { // this process was paused: the leader may have seen the session expire
			return fleet.ErrSessionLost
		}
		sentAt := time.Now()
		info := m.info()
		update := info
		if reflect.DeepEqual(info, reported) {
			update = nil
		}
		err = m.call(ctx, min(m.config.Interval/2, s.lease.remaining()), func(ctx context.Context) error {
			return m.config.Store.RenewSession(ctx, s.ID, update)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && !s.lease.renew(sentAt), errors.Is(err, fleet.ErrSessionLost):
			return fleet.ErrSessionLost
		case err == nil:
			if concernsLeader(reported, info) {
				m.tellLeader(ctx)
			}
			reported = info
			timer.Reset(m.config.Interval - time.Since(sentAt))
		default:
			m.config.Log.Warn("could not renew the session", zap.String("session", s.ID), zap.Error(err))
			timer.Reset(m.config.Interval/2 - time.Since(sentAt))
		}
	}
}

// call bounds one call.
func (*Member) call(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx)
}

func (m *Member) info() *fleet.Executor {
	if m.config.Info == nil {
		return nil
	}
	info := m.config.Info()
	return &info
}

func (m *Member) drains() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.drain
}

// readDrain reads what an operator has decided. If the read fails, the leader sends the signal again.
func (m *Member) readDrain(ctx context.Context, s Session) {
	var stored fleet.Session
	err := m.call(ctx, m.config.Interval/2, func(ctx context.Context) (err error) {
		stored, err = m.config.Store.Session(ctx, s.ID)
		return err
	})
	if err != nil {
		m.config.Log.Warn("could not read whether to drain", zap.Error(err))
		return
	}
	m.mu.Lock()
	m.drain = stored.Drain
	m.mu.Unlock()
	if m.config.OnDrain != nil {
		m.config.OnDrain(stored.Drain)
		m.renewNow.Notify()
	}
}

// concernsLeader reports whether the leader must know at once what has changed about an executor. How many of its slots
// are busy does not matter to it, and the weight of waiting tenants only when it begins or ends.
func concernsLeader(before, after *fleet.Executor) bool {
	if before == nil || after == nil {
		return false
	}
	relevant := func(x fleet.Executor) fleet.Executor {
		x.Busy = 0
		if len(x.Waiting) > 0 {
			x.Waiting = nil
			x.Busy = 1
		}
		return x
	}
	return !reflect.DeepEqual(relevant(*before), relevant(*after))
}

// tellLeader makes the leader read the sessions. Sessions of an API do not matter enough.
func (m *Member) tellLeader(ctx context.Context) {
	c := m.config
	if c.Kind != fleet.KindExecutor || c.View == nil || c.Signals == nil {
		return
	}
	err := m.call(ctx, c.Interval/2, func(ctx context.Context) error {
		f, err := c.View.Fleet(ctx, 0)
		if err != nil || f.Leader == "" {
			return err // the next leader reads the sessions first
		}
		if f.Leader == c.Process && c.Leader != nil {
			c.Leader.Joined()
			return nil
		}
		return c.Signals.SendSignals(ctx, signal.Signal{To: f.Leader, Kind: signal.KindJoin, From: c.Process})
	})
	if err != nil {
		c.Log.Debug("the leader is not told about a change of the session; it reads the sessions regularly", zap.Error(err))
	}
}
