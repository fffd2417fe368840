package executorservice

import (
	"context"
	"sync/atomic"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/background/dispatcher"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/watch"
)

// fleetMember is this process's part in the fleet.
type fleetMember struct {
	process  string
	settings Settings
	store    *store.Store
	log      *zap.Logger

	view   *membership.View
	leader *membership.Leader
	member *membership.Member

	executor     atomic.Pointer[executor.Executor] // nil until setExecutor
	dispatcher   *dispatcher.Dispatcher
	runtimes     []agentruntime.Runtime
	endpoint     *fleet.Endpoint
	architecture atomic.Pointer[string] // of the Engine; nil until it has answered
}

// fleetConfig has what a fleetMember needs of the other parts.
type fleetConfig struct {
	settings Settings
	store    *store.Store
	runtimes []agentruntime.Runtime
	endpoint *fleet.Endpoint // nil: none
	log      *zap.Logger
	// onExpired queues again what an expired session held.
	onExpired func(ctx context.Context, s fleet.Session) error
	// onLost returns when no job of a lost session is left, or when ctx ends.
	onLost func(ctx context.Context)
}

// newFleetMember returns a member that has not joined yet; run does so.
func newFleetMember(c fleetConfig) *fleetMember {
	f := &fleetMember{process: id.New(id.Process), settings: c.settings, store: c.store, runtimes: c.runtimes, endpoint: c.endpoint, log: c.log}
	f.view = membership.NewView(c.store)
	f.leader = membership.NewLeader(membership.LeaderConfig{
		Store: c.store, Process: f.process, View: f.view, Signals: c.store, OnExpired: c.onExpired, Log: c.log.Named("leader"),
	})
	f.member = membership.NewMember(membership.MemberConfig{
		Store: c.store, Process: f.process, Kind: fleet.KindExecutor, Name: c.settings.Name, Version: config.Version,
		Info: f.info, OnLost: c.onLost, OnDrain: f.onDrain, View: f.view, Signals: c.store, Leader: f.leader,
		Log: c.log.Named("session"),
	})
	c.store.UseSession(f.member.SessionID)
	return f
}

// setExecutor must be called before run.
func (f *fleetMember) setExecutor(x *executor.Executor) { f.executor.Store(x) }

// setDispatcher must be called before run.
func (f *fleetMember) setDispatcher(d *dispatcher.Dispatcher) { f.dispatcher = d }

func (f *fleetMember) onDrain(drain bool) {
	f.log.Info("an operator has decided whether this executor drains", zap.Bool("drain", drain))
	f.executor.Load().SetDraining(drain)
}

// newRegistry opens the inbox of this process, and passes the signals to the parts that they are for.
func (f *fleetMember) newRegistry() *watch.Registry {
	r := watch.New(f.store, f.process, f.log.Named("watch"))
	r.On(signal.KindFleet, func(signal.Signal) { f.view.Invalidate() })
	r.On(signal.KindJoin, func(signal.Signal) { f.leader.Joined() })
	r.On(signal.KindDrain, func(signal.Signal) { f.member.Drain() })
	r.On(signal.KindCancel, func(s signal.Signal) {
		f.executor.Load().Signal(execution.Ref{Tenant: s.Tenant, ID: s.Change.ExecutionID})
	})
	r.On(signal.KindTurn, func(s signal.Signal) {
		f.executor.Load().SignalTurn(execution.Ref{Tenant: s.Tenant, ID: s.Change.ConversationID}, s.Change.ExecutionID)
	})
	r.On(signal.KindWake, f.dispatcher.OnSignal)
	r.On(signal.KindChange, f.dispatcher.OnSignal)
	return r
}

// run takes part until ctx ends. The session lasts until sessionCtx ends, because jobs that finish need it.
func (f *fleetMember) run(ctx, sessionCtx context.Context, driver Driver) error {
	g, sessionCtx := errgroup.WithContext(sessionCtx)
	registry := f.newRegistry()
	g.Go(func() error { return registry.Run(sessionCtx) })
	g.Go(func() error { return f.member.Run(sessionCtx) })
	g.Go(func() error {
		if _, err := f.member.Await(ctx); err != nil {
			return nil // stopped before the first session
		}
		return f.leader.Run(ctx) // after the session began, so that the first leader sees it
	})
	g.Go(func() error {
		supervise.RunUntilSuccess(ctx, f.log, "ask the Engine for its architecture", func(ctx context.Context) error {
			architecture, err := driver.Architecture(ctx)
			if err == nil {
				f.architecture.Store(&architecture)
				f.member.Renew()
			}
			return err
		})
		return nil
	})
	g.Go(func() error {
		changed := f.executor.Load().StateChanged()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
				f.member.Renew()
			}
		}
	})
	return g.Wait()
}

// info is what this executor reports with each renewal of its session.
func (f *fleetMember) info() fleet.Executor {
	state := f.executor.Load().State()
	x := fleet.Executor{
		Slots: f.settings.Slots, Reserved: f.settings.ReservedSlots, Busy: state.Busy, Labels: f.settings.Labels,
		Pulling: state.Pulling, Reason: state.Reason, Draining: state.Draining, Waiting: f.dispatcher.Waiting(),
		Endpoint: f.endpoint,
	}
	if a := f.architecture.Load(); a != nil {
		x.Architecture = *a
	}
	for _, r := range f.runtimes {
		offered := fleet.Runtime{Name: r.Name, Image: r.Image, Unavailable: r.Unavailable}
		if reason, failed := state.UnavailableRuntimes[r.Name]; failed {
			offered.Unavailable = reason
		}
		x.Runtimes = append(x.Runtimes, offered)
	}
	return x
}
