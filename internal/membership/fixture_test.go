package membership

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	waitTimeout = 2 * time.Minute // only a failing test waits this long
	pollEvery   = 5 * time.Millisecond
)

// fixture is a Firestore emulator whose clock the test may advance, and the processes over it.
type fixture struct {
	t         *testing.T
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock

	mu        sync.Mutex
	processes map[string]*process
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	return &fixture{
		t: t, clock: clock, firestore: strict.StartFirestore(t, firestoreemulator.Options{Now: clock.Now}),
		processes: map[string]*process{},
	}
}

// process is an executor process: a member, a view and a leader, wired as in the program.
type process struct {
	*Member
	view   *View
	leader *Leader
	store  *store.Store

	mu      sync.Mutex
	info    fleet.Executor
	expired []string // sessions that this process has reaped as the leader
	drains  []bool
	reap    func(ctx context.Context, s fleet.Session) error // replaces the default
	stop    func()
}

// SendSignals delivers signals to the processes of the fixture, as their inboxes do.
func (f *fixture) SendSignals(_ context.Context, signals ...signal.Signal) error {
	for _, s := range signals {
		f.mu.Lock()
		p := f.processes[s.To]
		f.mu.Unlock()
		if p == nil {
			continue
		}
		switch s.Kind { //nolint:exhaustive // the others are not for this package
		case signal.KindFleet:
			p.view.Invalidate()
		case signal.KindJoin:
			p.leader.Joined()
		case signal.KindDrain:
			p.Drain()
		}
	}
	return nil
}

// start runs a process until the test ends. The store is that of all processes unless the test gives another one.
func (f *fixture) start(name string, options ...func(*process)) *process {
	f.t.Helper()
	p := f.newProcess(name, options...)
	f.run(p)
	return p
}

func (f *fixture) newProcess(name string, options ...func(*process)) *process {
	p := &process{store: store.New(f.firestore.Client), info: fleet.Executor{Slots: 4, Reserved: 1, Pulling: true}}
	for _, o := range options {
		o(p)
	}
	log := zaptest.NewLogger(f.t).Named(name)
	p.view = NewView(p.store)
	p.leader = NewLeader(LeaderConfig{
		Store: p.store, Process: name, View: p.view, Signals: f, Log: log,
		OnExpired: func(ctx context.Context, s fleet.Session) error {
			if p.reap != nil {
				return p.reap(ctx, s)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			p.expired = append(p.expired, s.ID)
			return nil
		},
	})
	p.Member = NewMember(MemberConfig{
		Store: p.store, Process: name, Kind: fleet.KindExecutor, Name: "x-" + name, View: p.view, Signals: f, Leader: p.leader,
		Log: log,
		Info: func() fleet.Executor {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.info
		},
		OnDrain: func(drain bool) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.drains = append(p.drains, drain)
			p.info.Draining = drain
		},
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.processes[name] = p
	return p
}

func (f *fixture) run(p *process) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return p.Member.Run(ctx) })
	running.Go(func() error {
		if _, err := p.Await(ctx); err != nil {
			return nil
		}
		return p.leader.Run(ctx)
	})
	p.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(f.t, running.Wait())
	})
	f.t.Cleanup(p.stop)
	_, err := p.Await(f.t.Context())
	require.NoError(f.t, err)
}

func (f *fixture) eventually(holds func() bool, says ...any) {
	f.t.Helper()
	require.Eventually(f.t, holds, waitTimeout, pollEvery, says...)
}

func (f *fixture) published() store.FleetSnapshot {
	f.t.Helper()
	s, err := store.New(f.firestore.Client).ReadFleet(context.Background())
	require.NoError(f.t, err)
	return s
}

// awaitOwners waits until exactly these processes share the partitions.
func (f *fixture) awaitOwners(processes ...string) {
	f.t.Helper()
	slices.Sort(processes)
	f.eventually(func() bool {
		owners := f.published().Owners
		return slices.Equal(processes, slices.Compact(slices.Sorted(slices.Values(owners))))
	}, fmt.Sprint(processes))
}
