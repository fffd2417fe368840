// Package executor runs executions: it pulls an announcement, claims the
// execution, runs its job in a sandbox and writes how it ended. Read handle
// (attempt.go) top to bottom: that is the whole way.
package executor

import (
	"context"
	"errors"
	"sync"
	"time"

	oteltrace "go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/agentruntime"
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

// Store is where executions are. All methods are safe to repeat.
type Store interface {
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
	Messages(ctx context.Context, tenant, conversationID string, beforeTurn, limit int) ([]conversation.Message, error)
	Session(ctx context.Context, tenant, conversationID string) (*execution.Session, error)
	InputFiles(ctx context.Context, ref execution.Ref) ([]execution.InputFile, error)
}

// Queue is the doorbell. Pull waits for an announcement and may return none;
// Listen calls hear concurrently.
type Queue interface {
	Pull(ctx context.Context, lane execution.Lane, most int) ([]queue.Notification, error)
	Subscribe(ctx context.Context, hear func(execution.Ref)) error
	Publish(ctx context.Context, ch execution.Change) error
}

// Sandbox runs one job in a fresh container. When ctx ends, Run kills the job
// and returns ctx's cause; beside an error only the outcome's Record counts. Ping says whether there is anything to run it on.
type Sandbox interface {
	Run(ctx context.Context, job sandbox.Job) (sandbox.Outcome, error)
	Ping(ctx context.Context) error
}

// Runtimes makes the job of an attempt, whose model calls are part of the trace
// that ctx belongs to. A failure means that no attempt will do better.
type Runtimes interface {
	Prepare(ctx context.Context, e *execution.Execution) (*agentruntime.Run, *execution.Failure)
}

// Config says how an executor works. Every field is required but ReceiptKey and Tracer.
type Config struct {
	Name      string        // of this process, unique
	Slots     int           // jobs at once
	Reserved  int           // of the slots, that batches leave to interactive work; less than Slots
	Lease     time.Duration // how long a silent executor keeps its execution
	Heartbeat time.Duration // how often it renews the lease; less than half of Lease
	Grace     time.Duration // how long jobs may go on after a stop was asked for

	Artifacts  ArtifactStore
	ReceiptKey *receipt.Key     // signs what is written of the jobs; nil: unsigned
	Tracer     oteltrace.Tracer // makes the spans of attempts; nil: they have none
}

// errShutdown ends the jobs that are still running when the grace is over.
var errShutdown = errors.New("the executor shuts down")

// errCanceled ends the job of an execution that somebody cancelled.
var errCanceled = errors.New("the execution was cancelled")

// Executor is one process' worth of running executions.
type Executor struct {
	config     Config
	store      Store
	queue      Queue
	sandbox    Sandbox
	runtimes   Runtimes
	log        *zap.Logger
	onFinished func(execution.Execution)
	slots      *slots
	finishSem  *semaphore.Weighted   // that are written while their slots are others'
	attempts   sync.WaitGroup        // one for each announcement that is being handled
	signals    broadcast.Broadcaster // the attempts of this executor, for signals to reach their hearts
}

// New returns an executor; Run starts it. It calls ended, which must not
// block, with every execution that it has brought to its end.
func New(config Config, s Store, q Queue, sb Sandbox, rt Runtimes, onFinished func(execution.Execution), log *zap.Logger) *Executor {
	if config.Tracer == nil {
		config.Tracer = trace.Noop
	}
	return &Executor{
		config: config, store: s, queue: q, sandbox: sb, runtimes: rt, log: log, onFinished: onFinished,
		slots: newSlots(config.Slots, config.Reserved), finishSem: semaphore.NewWeighted(int64(config.Slots)),
	}
}

// Run works until ctx ends. It then stops pulling, lets what runs finish
// within the grace, hands the rest back as queued, and returns.
func (x *Executor) Run(ctx context.Context) error {
	metrics.Slots.Add(float64(x.config.Slots))
	defer metrics.Slots.Sub(float64(x.config.Slots))
	workCtx, stopWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stopWork(nil)
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(x.config.Grace, func() { stopWork(errShutdown) })
	})()

	g, ctx := errgroup.WithContext(ctx)
	// Signals are still heard while the last jobs finish, so that they can be cancelled.
	signalCtx, stopSignals := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSignals()
	g.Go(func() error {
		defer stopSignals()
		defer x.attempts.Wait()
		return supervise.Run(ctx, x.log, "pull executions", func(ctx context.Context) error { return x.pull(ctx, workCtx) })
	})
	g.Go(func() error {
		return supervise.Run(signalCtx, x.log, "listen for signals", func(ctx context.Context) error { return x.queue.Subscribe(ctx, x.signals.Notify) })
	})
	return g.Wait()
}
