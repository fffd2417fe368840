// Package executor runs executions.
//
// It pulls notifications, claims the execution that each one names, runs the job in a sandbox, and stores the result.
// One attempt, from the notification to the result, is in attempt.go and reads from top to bottom.
//
// It never decides what an event does to an execution (package execution does), and it never changes one without a
// claim.
package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// Applier changes executions. Apply is safe to repeat.
type Applier interface {
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// TaskStore has executions, and the parts of a task that are not in the document of its execution.
type TaskStore interface {
	Messages(ctx context.Context, tenant, conversationID string, beforeTurn, limit int) ([]conversation.Message, error)
	Conversation(ctx context.Context, tenant, conversationID string) (conversation.Conversation, error)
	InputFiles(ctx context.Context, ref execution.Ref) ([]execution.InputFile, error)
	// AgentSettings returns the settings of a version, also of an agent that was deleted.
	AgentSettings(ctx context.Context, tenant, agentID string, version int) (agent.Settings, error)
	EnvironmentVersion(ctx context.Context, tenant, environmentID string, version int) (environment.Environment, error)
	// Execution serves to see whether an execution was canceled.
	Execution(ctx context.Context, ref execution.Ref) (execution.Execution, error)
}

// Sessions gives the executor its leases, one after another. Await waits for a live one.
type Sessions interface {
	Await(ctx context.Context) (membership.Session, error)
}

// Queue carries notifications. Pull waits for notifications and may return none. A failed Publish loses nothing: the
// janitor publishes again.
type Queue interface {
	Pull(ctx context.Context, from queue.Subscription, limit int) ([]queue.Notification, error)
	SubscriptionError(s queue.Subscription) error
	Publish(ctx context.Context, ch execution.Change) error
}

// Sandbox runs jobs. Run runs one job in a fresh container. When ctx ends, it kills the job and returns the cause of
// ctx; with an error, only the Record of the outcome counts. The error is a *sandbox.StartError if the job did not
// begin because its sandbox did not start. Ping reports whether the Engine answers, Probe whether it starts a
// container, and Try whether it starts the agent of a job; it ends the agent at once. StartAhead starts the agent of a
// job that may come, which Run then uses.
type Sandbox interface {
	Run(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error)
	Probe(ctx context.Context) error
	Try(ctx context.Context, job sandbox.Job) error
	StartAhead(ctx context.Context, job sandbox.Job) (release func(), err error)
	Ping(ctx context.Context) error
}

// Runtimes makes the job of an attempt. Available names those that this executor offers; it returns a new slice. The
// job's model calls belong to the trace of ctx. A failure is final: another attempt would fail in the same way. Trial
// returns a job of an available runtime with nothing to do.
type Runtimes interface {
	Available() []string
	Trial(name string) sandbox.Job
	Prepare(ctx context.Context, e *execution.Execution) (*agentruntime.Run, *execution.Failure)
	// PrepareStart returns how the agent of an execution is started ahead; nil: it is not.
	PrepareStart(e *execution.Execution) *sandbox.Job
}

// ArtifactStore stores files, results that are too large for a document, and agent sessions. Put may be called
// concurrently, and again after an error. Get returns blob.ErrLost or blob.ErrUnavailable; the caller closes the
// reader.
type ArtifactStore interface {
	Put(ctx context.Context, key blob.Key, from io.Reader) (execution.Content, error)
	Get(ctx context.Context, key blob.Key, want execution.Content) (*blob.Reader, error)
	DeleteContent(ctx context.Context, key blob.Key) error
	PutTranscriptPart(ctx context.Context, ref execution.Ref, p blob.TranscriptPart, text []byte) error
}

// Config has the parts and settings of an Executor. All fields are required, except those that say otherwise.
type Config struct {
	Name     string        // unique among the executors
	Slots    int           // how many jobs may run at the same time
	Reserved int           // slots that jobs of batches cannot use; less than Slots
	Grace    time.Duration // how long jobs may continue after Run's context has ended

	Executions Applier // the quota's, because a claim counts against limits and the end of an attempt frees capacity
	Sessions   Sessions
	Tasks      TaskStore
	Queue      Queue
	Sandbox    Sandbox
	Runtimes   Runtimes
	Artifacts  ArtifactStore
	// MaxWorkspace bounds the snapshot of a job's working folder, in bytes; 0: none is made.
	MaxWorkspace int64
	// MaxNextTurns is the number of agents that are started for the next turns of conversations, and wait for at most
	// NextTurnHold.
	MaxNextTurns int
	NextTurnHold time.Duration
	// TranscriptRetention is how long the transcripts of a tenant for which the operator has set nothing are stored after
	// the end of their executions; nil: as long as the executions.
	TranscriptRetention *time.Duration
	ReceiptKey          *receipt.Key     // signs receipts; nil: they are unsigned
	Tracer              oteltrace.Tracer // makes the spans of attempts; nil: no spans
	// TraceContent adds what agents are asked, say and do to the spans.
	TraceContent bool
	OnFinished   func(execution.Execution) // receives each execution that this executor finishes; must not block
	Log          *zap.Logger
}

var (
	// errShutdown is the cause that ends jobs when the grace period is over.
	errShutdown = errors.New("executor is shutting down")
	// errCanceled is the cause that ends the job of a canceled execution. What the job has left is kept.
	errCanceled = fmt.Errorf("%w: its execution was canceled", sandbox.ErrStop)
)

// Executor runs executions in one process.
type Executor struct {
	config       Config
	slots        *slots
	finishSem    *semaphore.Weighted // held by an attempt that writes its result after it has released its slot
	attempts     inFlight
	signals      broadcast.Broadcaster // passes signals to the attempts in progress
	steps        runningSteps
	health       *engineHealth
	runtimes     *runtimeStates
	drain        *drainGate
	jobStarts    jobStarts
	nextTurns    *nextTurns
	starts       sync.WaitGroup     // of agents for next turns
	turns        chan execution.Ref // for which an agent waits here
	settings     versionCache[agent.Settings]
	environments versionCache[environment.Environment]
}

// New returns an executor; Run starts it.
func New(c Config) *Executor {
	if c.Tracer == nil {
		c.Tracer = trace.Noop
	}
	health := newEngineHealth()
	return &Executor{
		config: c, slots: newSlots(c.Slots, c.Reserved), finishSem: semaphore.NewWeighted(int64(c.Slots)), health: health,
		runtimes: newRuntimeStates(health.changed.Notify), drain: newDrainGate(),
		turns:     make(chan execution.Ref, turnsBuffer),
		nextTurns: &nextTurns{max: c.MaxNextTurns, hold: c.NextTurnHold, memoryIsShort: memoryIsShort},
		settings: newVersionCache(func(ctx context.Context, tenant, agentID string, version int) (agent.Settings, error) {
			return c.Tasks.AgentSettings(ctx, tenant, agentID, version)
		}),
		environments: newVersionCache(func(ctx context.Context, tenant, environmentID string, version int) (environment.Environment, error) {
			return c.Tasks.EnvironmentVersion(ctx, tenant, environmentID, version)
		}),
	}
}

// Health returns whether the executor pulls, and which runtimes it cannot start.
func (x *Executor) Health() Health {
	h := x.health.snapshot()
	h.JobStarts = x.jobStarts.snapshot()
	h.UnavailableRuntimes = map[string]string{}
	for _, name := range x.config.Runtimes.Available() {
		if reason := x.unavailable(name); reason != "" {
			h.UnavailableRuntimes[name] = reason
		}
	}
	return h
}

// unavailable returns why this executor takes no job of a runtime; empty: it takes them.
func (x *Executor) unavailable(runtime string) string {
	if reason := x.runtimes.unavailable(runtime); reason != "" {
		return reason
	}
	for _, lane := range []execution.Lane{execution.LaneInteractive, execution.LaneBatch} {
		if err := x.config.Queue.SubscriptionError(queue.Subscription{Lane: lane, Runtime: runtime}); err != nil {
			return err.Error()
		}
	}
	return ""
}

// AwaitJobsGone returns when no job is left of a session that was lost, or when ctx ends. The next session must not
// begin before: the jobs' executions run again elsewhere.
func (x *Executor) AwaitJobsGone(ctx context.Context) { x.attempts.wait(ctx) }

// Signal tells an attempt in progress that its execution may have been canceled. It never blocks.
func (x *Executor) Signal(ref execution.Ref) { x.signals.Notify(ref) }

// Run works until ctx ends. It then stops pulling, lets jobs finish within the grace period, hands the other executions
// back as queued, and returns.
func (x *Executor) Run(ctx context.Context) error {
	metrics.Slots.Add(float64(x.config.Slots))
	defer metrics.Slots.Sub(float64(x.config.Slots))
	workCtx, stopWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWork(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(x.config.Grace, func() { stopWork(errShutdown) })
	})()

	defer x.nextTurns.shrink(0)
	defer x.starts.Wait()
	defer x.attempts.wait(context.WithoutCancel(ctx))
	return supervise.Run(ctx, x.config.Log, "pull executions", func(ctx context.Context) error { return x.pull(ctx, workCtx) })
}
