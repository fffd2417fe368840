package membership

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// term is one time of leadership, from the takeover to the loss of the lease.
type term struct {
	leader *Leader
	joined broadcast.Signal
	lease  *lease

	// Used by publish only.
	fleet    fleet.Fleet // as written last
	version  time.Time
	listedAt time.Time // by the monotonic clock; zero: not yet
	listSoon bool      // a process has joined or left

	mu         sync.Mutex
	sessions   map[string]fleet.Session // those that have not expired, by ID
	writtenAt  time.Time                // Firestore's time of the newest write
	answeredAt time.Time                // when its answer arrived, by the monotonic clock
}

// run leads until the lease is lost or ctx ends. It returns when all duties have returned.
func (t *term) run(ctx context.Context) error {
	log := t.leader.config.Log
	log.Info("leading the fleet")
	metrics.LeaderChanges.Inc()
	metrics.FleetLeading.Set(1)
	defer metrics.FleetLeading.Set(0)
	dutyCtx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // the lease can end while publish waits for an answer
		select {
		case <-dutyCtx.Done():
		case <-t.lease.lost:
			stop()
		}
	}()
	var running errgroup.Group
	for _, d := range append([]duty{{"find expired sessions", t.reapLoop}}, t.leader.duties...) {
		running.Go(func() error { return supervise.Run(dutyCtx, log, d.name, d.run) })
	}
	err := t.publishLoop(dutyCtx)
	stop()
	_ = running.Wait() // always nil
	if ctx.Err() == nil {
		log.Warn("another process leads, or the lease of the leader has expired", zap.Error(err))
		t.lease.end()
		return err
	}
	resignErr := t.resign(context.WithoutCancel(ctx))
	t.lease.end()
	if resignErr != nil {
		log.Warn("could not resign as leader; another process leads when the lease expires", zap.Error(resignErr))
	}
	return nil
}

// publishLoop renews the lease by publishing the fleet, until the lease is lost or ctx ends.
func (t *term) publishLoop(ctx context.Context) (err error) {
	defer supervise.RecoverTo(&err)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.joined:
			t.mu.Lock()
			wait := max(minListInterval, time.Duration(len(t.sessions))*listTimePerSession) - time.Since(t.listedAt)
			t.mu.Unlock()
			t.listSoon = true
			timer.Reset(max(0, min(wait, fleet.RenewInterval)))
			continue
		case <-timer.C:
		}
		startedAt := time.Now()
		err := t.publish(ctx)
		switch {
		case err == nil:
			timer.Reset(fleet.RenewInterval - time.Since(startedAt))
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrFleetChanged):
			return err
		default:
			t.leader.config.Log.Warn("could not publish the fleet", zap.Error(err))
			timer.Reset(callTimeout - time.Since(startedAt))
		}
	}
}

// publish reads the sessions if that is due, and writes the fleet document.
func (t *term) publish(ctx context.Context) error {
	interval := idleListInterval
	if t.fleet.AnyWaits() {
		interval = busyListInterval
	}
	if t.listSoon || time.Since(t.listedAt) >= interval-time.Second {
		if err := t.list(ctx); err != nil {
			// The lease matters more.
			t.leader.config.Log.Warn("could not read the sessions", zap.Error(err))
		}
	}
	next := t.fleet
	if !t.listedAt.IsZero() {
		next = fleet.Summarize(t.leader.config.Process, t.living(), t.fleet.Owners)
	}
	previous := t.fleet
	sentAt := time.Now()
	if err := t.write(ctx, next); err != nil {
		return err
	}
	if !t.lease.renew(sentAt) {
		return store.ErrFleetChanged
	}
	t.tellMoved(ctx, fleet.MovedPartitions(previous.Owners, next.Owners))
	return nil
}

// write writes the fleet document. A conflict with this process's own write, whose answer was lost, is none.
func (t *term) write(ctx context.Context, f fleet.Fleet) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sentAt := time.Now()
	version, err := t.leader.config.Store.WriteFleet(ctx, f, t.version)
	if errors.Is(err, store.ErrFleetChanged) {
		metrics.FleetReads.WithLabelValues("fleet").Inc()
		current, readErr := t.leader.config.Store.ReadFleet(ctx)
		switch {
		case readErr != nil:
			return readErr
		case current.Leader != t.leader.config.Process || f.Leader == "":
			t.leader.config.View.set(current, sentAt)
			return err
		}
		sentAt = time.Now()
		version, err = t.leader.config.Store.WriteFleet(ctx, f, current.Version)
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.writtenAt, t.answeredAt = version, time.Now()
	t.mu.Unlock()
	f.RenewedAt = version
	t.fleet, t.version = f, version
	t.leader.config.View.set(store.FleetSnapshot{Fleet: f, Version: version, Now: version}, sentAt)
	return nil
}

// now returns a time that Firestore has certainly reached: its clock has gone on since the answer to the newest write.
func (t *term) now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.writtenAt.Add(time.Since(t.answeredAt))
}

// resign lets another process lead at once, and wakes some that can.
func (t *term) resign(ctx context.Context) error {
	next := t.fleet
	next.Leader = ""
	if err := t.write(ctx, next); err != nil {
		return err
	}
	followers := slices.Compact(slices.Sorted(slices.Values(next.Owners)))
	followers = slices.DeleteFunc(followers, func(p string) bool { return p == t.leader.config.Process })
	t.tell(ctx, signal.KindFleet, followers[:min(len(followers), maxWoken)])
	return nil
}

// maxWoken is how many processes a leader wakes when it resigns. One would do if it is alive.
const maxWoken = 3

func (t *term) tellMoved(ctx context.Context, processes []string) {
	processes = slices.DeleteFunc(processes, func(p string) bool { return p == t.leader.config.Process })
	t.tell(ctx, signal.KindFleet, processes)
}

func (t *term) tell(ctx context.Context, kind signal.Kind, processes []string) {
	if t.leader.config.Signals == nil || len(processes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var signals []signal.Signal
	for _, p := range processes {
		signals = append(signals, signal.Signal{To: p, Kind: kind, From: t.leader.config.Process})
	}
	if err := t.leader.config.Signals.SendSignals(ctx, signals...); err != nil {
		t.leader.config.Log.Warn("could not tell other processes about a change of the fleet", zap.Error(err))
	}
}
