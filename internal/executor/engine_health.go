package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// pull pulls the notifications of its runtimes, in both lanes, while the Engine starts sandboxes and the session lasts.
// Without such an Engine, notifications stay in the queue for other executors. The jobs in progress continue after it
// returns, unless the session is lost.
func (x *Executor) pull(ctx, workCtx context.Context) error {
	if err := x.awaitNoDrain(ctx); err != nil {
		return err
	}
	if err := x.awaitEngine(ctx); err != nil {
		return err
	}
	session, err := x.config.Sessions.Await(ctx)
	if err != nil {
		return err
	}
	engineCtx, stopPulling := context.WithCancelCause(ctx) // ends when the Engine fails or the session is lost
	defer stopPulling(nil)
	go func() {
		if x.drain.await(engineCtx, true) == nil {
			stopPulling(errDraining)
		}
	}()
	go func() {
		select {
		case <-engineCtx.Done():
		case <-session.Lost():
			stopPulling(execution.ErrLeaseLost)
		}
	}()
	x.config.Log.Info("pulling executions", zap.Int("slots", x.config.Slots), zap.Int("reserved", x.config.Reserved))
	x.health.setPulling()
	err = x.pullAll(engineCtx, workCtx, session, stopPulling)
	if engineCtx.Err() != nil {
		err = context.Cause(engineCtx)
	}
	x.health.setNotPulling(err)
	return err
}

// pullAll pulls from the subscriptions of all runtimes until one of the pulls fails or ctx ends.
func (x *Executor) pullAll(ctx, workCtx context.Context, session membership.Session, stopPulling context.CancelCauseFunc) error {
	pulls, ctx := errgroup.WithContext(ctx)
	pulls.Go(func() error { // without a runtime there is nothing to pull
		<-ctx.Done()
		return context.Cause(ctx)
	})
	pulls.Go(func() (err error) {
		defer supervise.RecoverTo(&err)
		return x.runTurns(ctx, workCtx, session, stopPulling)
	})
	for _, runtime := range x.config.Runtimes.Available() {
		pulls.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			return x.tryRuntime(ctx, runtime, stopPulling)
		})
		for _, lane := range []execution.Lane{execution.LaneInteractive, execution.LaneBatch} {
			pulls.Go(func() (err error) {
				defer supervise.RecoverTo(&err)
				return x.pullFrom(ctx, workCtx, session, queue.Subscription{Lane: lane, Runtime: runtime}, stopPulling)
			})
		}
	}
	return pulls.Wait()
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
	x.health.recordStarted()
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
	x, runtime := a.executor, a.execution.Task.Runtime
	var failed *sandbox.StartError
	switch {
	case a.began():
		if !a.outcome.Record.Warm { // a warm sandbox was started earlier, so it says nothing about the Engine now
			x.health.recordStarted()
		}
	case errors.As(err, &failed):
		a.log.Warn("sandbox did not start", zap.String("runtime", runtime), zap.Error(err))
		if failed.Cause.OfImage() {
			x.runtimes.setUnavailable(runtime, err.Error())
			return
		}
		if x.health.recordStartFailure(failed) {
			stopPulling(err)
		}
		a.engineSick = x.health.engineSick()
	}
}

// maxStartFailures is how many starts may fail in a row before the executor stops pulling. One alone may have a cause
// of its own, such as a removal from outside.
const maxStartFailures = 3

// Health is what an executor knows of its own ability to run jobs.
type Health struct {
	Pulling             bool
	Since               time.Time         // of Pulling
	Reason              string            // why it does not pull, for operators
	UnavailableRuntimes map[string]string // those that it cannot start at present: the reason, for operators
	JobStarts           map[string]int    // jobs by what was already running when they came: "ahead", "warm", "cold"
}

// engineHealth knows whether the Engine starts sandboxes. It counts the failed starts that are the Engine's fault.
type engineHealth struct {
	changed broadcast.Signal // something that snapshot returns

	mu            sync.Mutex
	pulling       bool
	since         time.Time
	reason        string
	startFailures int // in a row
}

func newEngineHealth() *engineHealth {
	return &engineHealth{
		changed: broadcast.NewSignal(), since: time.Now(), reason: "starting",
		startFailures: maxStartFailures, // a new executor takes no job before a container has started
	}
}

// recordStarted records that the Engine has started a sandbox.
func (h *engineHealth) recordStarted() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.startFailures = 0
}

// recordStartFailure records a start that failed because of the Engine. It reports whether the executor must stop
// pulling.
func (h *engineHealth) recordStartFailure(err *sandbox.StartError) (stop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
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

func (h *engineHealth) setPulling() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pulling, h.since, h.reason = true, time.Now(), ""
	metrics.ExecutorPulling.Set(1)
	h.changed.Notify()
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
	h.changed.Notify()
}

func (h *engineHealth) snapshot() Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Health{Pulling: h.pulling, Since: h.since, Reason: h.reason}
}
