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
	"io"
	"sync"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
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

// TaskStore has the parts of a task that are not in the document of its execution.
type TaskStore interface {
	Messages(ctx context.Context, tenant, conversationID string, beforeTurn, limit int) ([]conversation.Message, error)
	Transcript(ctx context.Context, tenant, conversationID string) (*execution.Transcript, error)
	InputFiles(ctx context.Context, ref execution.Ref) ([]execution.InputFile, error)
}

// Queue carries notifications and signals. Pull waits for notifications and may return none. Subscribe calls onSignal
// concurrently. A failed Publish loses nothing: the janitor publishes again.
type Queue interface {
	Pull(ctx context.Context, lane execution.Lane, limit int) ([]queue.Notification, error)
	Subscribe(ctx context.Context, onSignal func(execution.Ref)) error
	Publish(ctx context.Context, ch execution.Change) error
}

// Sandbox runs jobs. Run runs one job in a fresh container. When ctx ends, it kills the job and returns the cause of
// ctx; with an error, only the Record of the outcome counts. The error is a *sandbox.StartError if the job did not
// begin because its sandbox did not start. Ping reports whether the Engine answers, Probe whether it starts a
// container.
type Sandbox interface {
	Run(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error)
	Probe(ctx context.Context) error
	Ping(ctx context.Context) error
}

// Runtimes makes the job of an attempt. The job's model calls belong to the trace of ctx. A failure is final: another
// attempt would fail in the same way.
type Runtimes interface {
	Prepare(ctx context.Context, e *execution.Execution) (*agentruntime.Run, *execution.Failure)
}

// ArtifactStore stores files and results that are too large for a document. Put may be called concurrently, and again
// after an error.
type ArtifactStore interface {
	Put(ctx context.Context, key blob.Key, from io.Reader) (execution.Content, error)
}

// Config has the parts and settings of an Executor. All fields are required, except those that say otherwise.
type Config struct {
	Name      string        // unique among the executors
	Slots     int           // how many jobs may run at the same time
	Reserved  int           // slots that jobs of batches cannot use; less than Slots
	Lease     time.Duration // how long an executor without a heartbeat keeps its executions
	Heartbeat time.Duration // interval of the renewals of a lease; less than half of Lease
	Grace     time.Duration // how long jobs may continue after Run's context has ended

	Executions Applier // the quota's, because a claim counts against limits and the end of an attempt frees capacity
	Tasks      TaskStore
	Queue      Queue
	Sandbox    Sandbox
	Runtimes   Runtimes
	Artifacts  ArtifactStore
	ReceiptKey *receipt.Key              // signs receipts; nil: they are unsigned
	Tracer     oteltrace.Tracer          // makes the spans of attempts; nil: no spans
	OnFinished func(execution.Execution) // receives each execution that this executor finishes; must not block
	Log        *zap.Logger
}

var (
	// errShutdown is the cause that ends jobs when the grace period is over.
	errShutdown = errors.New("executor is shutting down")
	// errCanceled is the cause that ends the job of a canceled execution.
	errCanceled = errors.New("execution was canceled")
)

// Executor runs executions in one process.
type Executor struct {
	config    Config
	slots     *slots
	finishSem *semaphore.Weighted   // held by an attempt that writes its result after it has released its slot
	attempts  sync.WaitGroup        // the attempts in progress
	signals   broadcast.Broadcaster // passes signals to the heartbeats of the attempts in progress
	health    *engineHealth
}

// New returns an executor; Run starts it.
func New(c Config) *Executor {
	if c.Tracer == nil {
		c.Tracer = trace.Noop
	}
	return &Executor{
		config: c, slots: newSlots(c.Slots, c.Reserved), finishSem: semaphore.NewWeighted(int64(c.Slots)), health: newEngineHealth(),
	}
}

// Health returns whether the executor pulls, and which runtimes it cannot start.
func (x *Executor) Health() Health { return x.health.snapshot() }

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

	g, ctx := errgroup.WithContext(ctx)
	// Signals are received until the last job has finished, so that it can be canceled.
	signalCtx, stopSignals := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSignals()
	g.Go(func() error {
		defer stopSignals()
		defer x.attempts.Wait()
		return supervise.Run(ctx, x.config.Log, "pull executions", func(ctx context.Context) error { return x.pull(ctx, workCtx) })
	})
	g.Go(func() error {
		return supervise.Run(signalCtx, x.config.Log, "receive signals", func(ctx context.Context) error {
			return x.config.Queue.Subscribe(ctx, x.signals.Notify)
		})
	})
	return g.Wait()
}
