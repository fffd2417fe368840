package executor

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

const (
	// runtimeRetryInterval is the time between two tries of a runtime that the executor cannot start.
	runtimeRetryInterval = 30 * time.Second
	// engineRetryInterval is the same while the Engine may be the cause.
	engineRetryInterval = 2 * time.Second
)

// runtimeStates knows which runtimes this executor can start: those of which a sandbox has started since the last
// failure. It takes no job of any other. So no job finds out that an image is missing, as long as nobody removes one.
type runtimeStates struct {
	retryInterval time.Duration
	notify        func() // something has changed

	mu     sync.Mutex
	states map[string]*runtimeState
}

type runtimeState struct {
	unavailable string // why it cannot be started, for operators; empty: it can
	tryAt       time.Time
	changed     chan struct{} // closed and replaced by every change
}

func newRuntimeStates(notify func()) *runtimeStates {
	return &runtimeStates{retryInterval: runtimeRetryInterval, notify: notify, states: map[string]*runtimeState{}}
}

// get returns the state of a runtime. The caller holds mu.
func (r *runtimeStates) get(name string) *runtimeState {
	if r.states[name] == nil {
		r.states[name] = &runtimeState{unavailable: "it has not been started yet", changed: make(chan struct{})}
	}
	return r.states[name]
}

func (r *runtimeStates) setStartable(name string) { r.set(name, "", time.Time{}) }

// setUnavailable makes the executor take no job of a runtime until a try has succeeded.
func (r *runtimeStates) setUnavailable(name, reason string) {
	r.setUnavailableFor(name, reason, r.retryInterval)
}

func (r *runtimeStates) setUnavailableFor(name, reason string, wait time.Duration) {
	r.set(name, reason, time.Now().Add(min(wait, r.retryInterval)))
}

func (r *runtimeStates) set(name, unavailable string, tryAt time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.get(name)
	changed := s.unavailable != unavailable
	s.unavailable, s.tryAt = unavailable, tryAt
	close(s.changed)
	s.changed = make(chan struct{})
	n := 0
	for _, s := range r.states {
		if s.unavailable != "" {
			n++
		}
	}
	metrics.UnavailableRuntimes.Set(float64(n))
	if changed {
		r.notify()
	}
}

// unavailable returns why a runtime cannot be started; empty: it can.
func (r *runtimeStates) unavailable(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.get(name).unavailable
}

// awaitStartable waits until a runtime can be started. It returns the cause of ctx if that ends first.
func (r *runtimeStates) awaitStartable(ctx context.Context, name string) error {
	return r.await(ctx, name, func(s runtimeState) (bool, time.Duration) { return s.unavailable == "", time.Hour })
}

// awaitTry waits until a runtime is to be tried. It returns the cause of ctx if that ends first.
func (r *runtimeStates) awaitTry(ctx context.Context, name string) error {
	return r.await(ctx, name, func(s runtimeState) (bool, time.Duration) {
		if s.unavailable == "" {
			return false, time.Hour
		}
		wait := time.Until(s.tryAt)
		return wait <= 0, wait
	})
}

// await waits until done says so, which is asked at every change and after the time that it returns.
func (r *runtimeStates) await(ctx context.Context, name string, done func(runtimeState) (bool, time.Duration)) error {
	for {
		r.mu.Lock()
		s := *r.get(name)
		r.mu.Unlock()
		ok, wait := done(s)
		if ok {
			return nil
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// tryRuntime starts the agent of a runtime in a container without a job, whenever it is not known whether that works.
func (x *Executor) tryRuntime(ctx context.Context, name string, stopPulling context.CancelCauseFunc) error {
	for {
		if err := x.runtimes.awaitTry(ctx, name); err != nil {
			return err
		}
		err := x.config.Sandbox.Try(ctx, x.config.Runtimes.Trial(name))
		var failed *sandbox.StartError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			x.health.recordStarted()
			x.runtimes.setStartable(name)
		case errors.As(err, &failed) && !failed.Cause.OfImage():
			if x.health.recordStartFailure(failed) {
				stopPulling(err)
				return err
			}
			x.runtimes.setUnavailableFor(name, err.Error(), engineRetryInterval)
		default:
			x.config.Log.Warn("cannot start a runtime", zap.String("runtime", name), zap.Error(err))
			x.runtimes.setUnavailable(name, err.Error())
		}
	}
}
