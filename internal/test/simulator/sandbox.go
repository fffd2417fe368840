package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/executorservice"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Input is the input of a simulated job, in JSON.
type Input struct {
	Wait  string `json:"wait,omitempty"`  // how long the job takes
	Steps int    `json:"steps,omitempty"` // how many lines it writes meanwhile
	Fail  bool   `json:"fail,omitempty"`  // it ends with exit code 1
	Mark  string `json:"mark,omitempty"`  // by which the scenario finds its start
}

// String returns the input as a request contains it.
func (i Input) String() string {
	text, err := json.Marshal(i)
	if err != nil {
		panic(err) // three strings and numbers
	}
	return string(text)
}

// sandboxes are the simulated sandboxes of all executors. Jobs only wait. It is safe for concurrent use.
type sandboxes struct {
	mu      sync.Mutex
	changed chan struct{}              // closed by the next change
	started map[string]time.Time       // by mark, the first start
	running map[string]map[string]bool // executions by executor
	starts  int
	held    chan struct{} // not nil: jobs wait until it is closed
}

func newSandboxes() *sandboxes {
	return &sandboxes{changed: make(chan struct{}), started: map[string]time.Time{}, running: map[string]map[string]bool{}}
}

// hold makes all jobs that start from now on wait until release is called.
func (s *sandboxes) hold() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make(chan struct{})
	s.held = held
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.held = nil
		s.mu.Unlock()
		close(held)
	})
}

func (s *sandboxes) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// start notes the start of a job, and returns what it has to wait for before it may end.
func (s *sandboxes) start(executor, execution, mark string) (held <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starts++
	if _, known := s.started[mark]; mark != "" && !known {
		s.started[mark] = time.Now()
	}
	if s.running[executor] == nil {
		s.running[executor] = map[string]bool{}
	}
	s.running[executor][execution] = true
	s.notify()
	return s.held
}

func (s *sandboxes) end(executor, execution string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running[executor], execution)
	s.notify()
}

// startedAt returns when the job with a mark started; zero: it has not.
func (s *sandboxes) startedAt(mark string) (at time.Time, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.started[mark], s.changed
}

// count returns how many jobs have started, and how many run.
func (s *sandboxes) count() (starts, running int, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, executions := range s.running {
		running += len(executions)
	}
	return s.starts, running, s.changed
}

// of returns the executions that run on an executor.
func (s *sandboxes) of(executor string) (executions []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.running[executor] {
		executions = append(executions, id)
	}
	return executions
}

// newDriver makes the driver of one executor.
func (s *sandboxes) newDriver(c config.Executor, _ *zap.Logger, _ ...agentruntime.Runtime) (executorservice.Driver, error) {
	return driver{s, c.Name}, nil
}

// Architecture is that of the simulated Engine.
func (driver) Architecture(context.Context) (string, error) { return runtime.GOARCH, nil }

type driver struct {
	sandboxes *sandboxes
	executor  string
}

// Run waits as long as the input says. The first output line comes at the start.
func (d driver) Run(ctx context.Context, job sandbox.Job) (o sandbox.Outcome, err error) {
	var in Input
	if err := json.Unmarshal(job.Stdin, &in); err != nil {
		return o, fmt.Errorf("the input of a simulated job: %w", err)
	}
	wait, err := time.ParseDuration(in.Wait)
	if in.Wait != "" && err != nil {
		return o, err
	}
	o.Record.Times.AgentStarted = time.Now()
	held := d.sandboxes.start(d.executor, job.Execution, in.Mark)
	defer d.sandboxes.end(d.executor, job.Execution)
	if held != nil {
		select {
		case <-ctx.Done():
			return o, context.Cause(ctx)
		case <-held:
		}
	}
	for step := range in.Steps + 1 {
		if step > 0 && job.OnStdout != nil {
			job.OnStdout(fmt.Appendf(nil, "step %d\n", step))
		}
		sleep(ctx, wait/time.Duration(in.Steps+1))
		if ctx.Err() != nil {
			return o, context.Cause(ctx)
		}
	}
	o.EndReason, o.Stdout, o.AgentStarted, o.Wall = sandbox.Exited, []byte("done\n"), time.Millisecond, wait
	if in.Fail {
		o.ExitCode = 1
	}
	return o, nil
}

func (driver) Ping(context.Context) error  { return nil }
func (driver) Probe(context.Context) error { return nil }

func (driver) Try(context.Context, sandbox.Job) error { return nil }

func (driver) StartAhead(context.Context, sandbox.Job) (release func(), err error) {
	return func() {}, nil
}
func (driver) WaitingAgents() sandbox.WaitingAgents { return sandbox.WaitingAgents{} }

func (driver) Reap(context.Context) error  { return nil }
func (driver) Close(context.Context) error { return nil }

func (driver) RunWarmPool(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
