package docker

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// A stopped job has so long to end its agent, and to begin to hand over what it left. Then the driver kills the
// container.
const (
	stopTimeout = 2 * time.Second // for a cancellation, which is over within 3 s, together with the removal
	endTimeout  = 5 * time.Second // for any other end, for which nobody waits
)

// Reasons why the driver stops a job. sandbox.ErrStop is another one.
var (
	errJobTimeout = errors.New("job timed out")
	errSettled    = errors.New("job has its result")
)

// stopper decides when a job ends that does not end by itself. It has at most one timer: for the start of the agent,
// then for the job's time-out, and then for the last report. It is safe for concurrent use.
type stopper struct {
	drop     context.CancelCauseFunc // ends the job at once
	stopping chan struct{}           // closed when init is to end the agent

	mu       sync.Mutex
	started  bool  // an agent runs: stopping it is useful
	cause    error // why the job is being stopped; nil: it is not
	deadline *time.Timer
	settle   *time.Timer // nil until the agent has printed a result
	files    bool        // the agent has ended, and what it left arrives
	closed   bool
}

func (s *stopper) init(drop context.CancelCauseFunc) { s.drop, s.stopping = drop, make(chan struct{}) }

// setDeadline drops the job with cause after d, unless another call replaces the deadline before.
func (s *stopper) setDeadline(d time.Duration, cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replaceDeadline(d, func() { s.drop(cause) })
}

func (s *stopper) replaceDeadline(d time.Duration, f func()) {
	if s.deadline != nil {
		s.deadline.Stop()
	}
	if !s.closed {
		s.deadline = time.AfterFunc(d, f)
	}
}

// agentStarted begins the job's time.
func (s *stopper) agentStarted(job sandbox.Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
	began := time.Now()
	s.replaceDeadline(job.Timeout, func() { s.stopOutOfTime(job, began) })
}

// minExtension is the least time after which a job is looked at again that waits for its egress.
const minExtension = 20 * time.Millisecond

// stopOutOfTime stops a job that has used up its time. The time in which its egress waited is not its own.
func (s *stopper) stopOutOfTime(job sandbox.Job, began time.Time) {
	rest := job.Timeout + job.Egress.Waited() - time.Since(began)
	if rest <= 0 {
		s.stop(errJobTimeout)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil && !s.files {
		s.replaceDeadline(max(rest, minExtension), func() { s.stopOutOfTime(job, began) })
	}
}

// callerEnded handles the end of the caller's context.
func (s *stopper) callerEnded(cause error) {
	s.mu.Lock()
	stop := s.started && errors.Is(cause, sandbox.ErrStop)
	s.mu.Unlock()
	if stop {
		s.stop(cause)
	} else {
		s.drop(cause)
	}
}

// stop lets init end the agent. The job is dropped with cause if its last report does not come in time. An agent that
// has ended already is not out of time any more; but who cancels its job does not wait for all that it left.
func (s *stopper) stop(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil || s.closed || s.files && !errors.Is(cause, sandbox.ErrStop) {
		return
	}
	s.cause = cause
	close(s.stopping)
	limit := endTimeout
	if errors.Is(cause, sandbox.ErrStop) {
		limit = stopTimeout
	}
	s.replaceDeadline(limit, func() { s.drop(cause) })
}

// stopCause returns why the job was stopped; nil: it was not.
func (s *stopper) stopCause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// filesBegan gives the output files their own time, except to those of a job that somebody waits to see ended.
func (s *stopper) filesBegan() { s.collectFor(collectTimeout) }

// snapshotBegan is filesBegan for the snapshot of the workspace.
func (s *stopper) snapshotBegan() { s.collectFor(snapshotTimeout) }

func (s *stopper) collectFor(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = true
	if errors.Is(s.cause, sandbox.ErrStop) {
		return
	}
	cause := cmp.Or(s.cause, errCollectTimeout)
	s.replaceDeadline(d, func() { s.drop(cause) })
}

// printed begins the settle time again, if the agent has printed its result.
func (s *stopper) printed(job sandbox.Job, settled bool) {
	if job.SettleTime == 0 || !settled {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settle == nil {
		s.settle = time.AfterFunc(job.SettleTime, func() { s.settleUnlessBusy(job) })
	} else {
		s.settle.Reset(job.SettleTime)
	}
}

func (s *stopper) settleUnlessBusy(job sandbox.Job) {
	if job.Egress.Busy() {
		s.printed(job, true)
		return
	}
	s.stop(errSettled)
}

// close stops the timers.
func (s *stopper) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, timer := range []*time.Timer{s.deadline, s.settle} {
		if timer != nil {
			timer.Stop()
		}
	}
}
