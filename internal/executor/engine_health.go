package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// pull pulls both lanes while the Engine starts sandboxes. Without such an Engine, notifications stay in the queue for
// other executors. The jobs in progress continue after it returns.
func (x *Executor) pull(ctx, workCtx context.Context) error {
	if err := x.awaitEngine(ctx); err != nil {
		return err
	}
	engineCtx, stopPulling := context.WithCancelCause(ctx) // ends when the Engine fails
	defer stopPulling(nil)
	x.config.Log.Info("pulling executions", zap.Int("slots", x.config.Slots), zap.Int("reserved", x.config.Reserved))
	x.health.setPulling()
	lanes, lanesCtx := errgroup.WithContext(engineCtx)
	for _, lane := range []execution.Lane{execution.LaneInteractive, execution.LaneBatch} {
		lanes.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			return x.pullLane(lanesCtx, workCtx, lane, stopPulling)
		})
	}
	err := lanes.Wait()
	if engineCtx.Err() != nil {
		err = context.Cause(engineCtx)
	}
	x.health.setNotPulling(err)
	return err
}

// awaitEngine returns nil if the Engine answers and starts containers. If the executor has just begun, or several
// starts in a row have failed, it starts an empty container to know.
func (x *Executor) awaitEngine(ctx context.Context) error {
	err := x.config.Sandbox.Ping(ctx)
	if err != nil {
		err = fmt.Errorf("no sandbox engine; executions stay queued (run airlock doctor): %w", err)
		x.health.setNotPulling(err)
		return err
	}
	if !x.health.engineSick() {
		return nil
	}
	var failed *sandbox.StartError
	err = x.config.Sandbox.Probe(ctx)
	if errors.As(err, &failed) && failed.Cause.OfImage() {
		err = nil // it says nothing about the Engine
	}
	if err != nil {
		err = fmt.Errorf("the engine starts no sandbox; executions stay queued until it starts an empty one (run airlock doctor): %w", err)
		x.health.setNotPulling(err)
		return err
	}
	x.health.recordStarted("", true)
	return nil
}

// checkEngine stops pulling when the Engine does not answer.
func (x *Executor) checkEngine(ctx context.Context, stopPulling context.CancelCauseFunc) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := x.config.Sandbox.Ping(ctx); err != nil {
		stopPulling(err)
	}
}

// recordStart learns from the start of a job's sandbox. It stops pulling when the Engine does not answer or does not
// start a sandbox in time, or when several starts in a row have failed.
func (a *attempt) recordStart(err error, stopPulling context.CancelCauseFunc) {
	health, runtime := a.executor.health, a.execution.Task.Runtime
	var failed *sandbox.StartError
	switch {
	case a.began():
		health.recordStarted(runtime, !a.outcome.Record.Warm)
	case errors.As(err, &failed):
		a.log.Warn("sandbox did not start", zap.String("runtime", runtime), zap.Error(err))
		if health.recordStartFailure(runtime, failed) {
			stopPulling(err)
		}
		a.engineSick = !failed.Cause.OfImage() && health.engineSick()
	}
}

const (
	// maxStartFailures is how many starts may fail in a row before the executor stops pulling. One alone may have a
	// cause of its own, such as a removal from outside.
	maxStartFailures = 3
	// runtimeRetryInterval is how long an executor takes no job of a runtime whose image it could not start. After that,
	// the next job tries again.
	runtimeRetryInterval = 30 * time.Second
)

// Health is what an executor knows of its own ability to run jobs.
type Health struct {
	Pulling             bool
	Since               time.Time         // of Pulling
	Reason              string            // why it does not pull, for operators
	UnavailableRuntimes map[string]string // the reason, for operators, by runtime
}

// engineHealth counts failed starts. It knows which of them are the Engine's fault and which are an image's.
type engineHealth struct {
	retryInterval time.Duration // of a runtime

	mu            sync.Mutex
	pulling       bool
	since         time.Time
	reason        string
	startFailures int // of the Engine, in a row
	runtimes      map[string]runtimeFailure
}

type runtimeFailure struct {
	retryAt time.Time
	reason  string
}

func newEngineHealth() *engineHealth {
	return &engineHealth{
		retryInterval: runtimeRetryInterval, since: time.Now(), reason: "starting",
		startFailures: maxStartFailures, // a new executor takes no job before a container has started
		runtimes:      map[string]runtimeFailure{},
	}
}

// recordStarted records that a sandbox started. A warm one was started earlier, so it says nothing about the Engine
// now.
func (h *engineHealth) recordStarted(runtime string, cold bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cold {
		h.startFailures = 0
	}
	delete(h.runtimes, runtime)
	metrics.UnavailableRuntimes.Set(float64(len(h.runtimes)))
}

// recordStartFailure reports whether the executor must stop pulling.
func (h *engineHealth) recordStartFailure(runtime string, err *sandbox.StartError) (stop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err.Cause.OfImage() {
		h.runtimes[runtime] = runtimeFailure{retryAt: time.Now().Add(h.retryInterval), reason: err.Error()}
		metrics.UnavailableRuntimes.Set(float64(len(h.runtimes)))
		return false
	}
	h.startFailures++
	if err.Cause == sandbox.EngineUnreachable || err.Cause == sandbox.StartTimedOut {
		h.startFailures = maxStartFailures // to wait for two more would take minutes
	}
	return h.startFailures >= maxStartFailures
}

// engineSick reports whether the Engine is believed to start nothing.
func (h *engineHealth) engineSick() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.startFailures >= maxStartFailures
}

// unavailableRuntimes returns the runtimes of which this executor takes no job now.
func (h *engineHealth) unavailableRuntimes() (names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, failure := range h.runtimes {
		if time.Now().Before(failure.retryAt) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (h *engineHealth) setPulling() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulling, h.since, h.reason = true, time.Now(), ""
	metrics.ExecutorPulling.Set(1)
}

func (h *engineHealth) setNotPulling(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pulling {
		h.since = time.Now()
	}
	h.pulling, h.reason = false, "stopped"
	if reason != nil {
		h.reason = reason.Error()
	}
	metrics.ExecutorPulling.Set(0)
}

func (h *engineHealth) snapshot() Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	reasons := map[string]string{}
	for name, failure := range h.runtimes {
		reasons[name] = failure.reason
	}
	return Health{Pulling: h.pulling, Since: h.since, Reason: h.reason, UnavailableRuntimes: reasons}
}
