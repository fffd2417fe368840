// Package api is the HTTP API of Airlock.
//
// In: requests of the contract (package contract), and signals from the queue. Out: work that is durable in the store,
// and its state and results. It keeps no state of its own, except a cache of responses about finished executions. It
// never runs work, and it never shows a tenant another tenant's data.
//
// A request passes the middleware (middleware.go) and then its handler. The handlers of one kind of resource are in one
// file (agents.go, batches.go, executions.go, …), next to the interface that they need of the store.
package api

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/promptrules"
	"github.com/airlock-run/airlock/internal/api/ratelimit"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/livesteps"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
	"github.com/airlock-run/airlock/internal/watch"
)

// Stores are the parts of the store that the handlers use, one for each group of handlers. Their methods may be called
// concurrently. A write is durable when it returns nil.
type Stores struct {
	Agents        AgentStore
	APIKeys       KeyStore
	Batches       BatchStore
	Conversations ConversationStore
	Deliveries    DeliveryStore
	Environments  EnvironmentStore
	Executions    ExecutionStore
	Files         FileStore
	Fleet         FleetStore
	Idempotency   IdempotencyStore
	Tenants       TenantStore
	Usage         UsageStore
	Clock         Clock
}

// StoresOf returns the one store as all of the Stores.
func StoresOf(s *store.Store) Stores {
	return Stores{
		Agents: s, APIKeys: s, Batches: s, Conversations: s, Deliveries: s, Environments: s, Executions: s, Files: s, Fleet: s, Idempotency: s, Tenants: s, Usage: s,
		Clock: s,
	}
}

// Queue carries notifications. A failed Publish loses nothing: the janitor publishes again. Ensure may be called again.
type Queue interface {
	Ensure(ctx context.Context, runtimes ...string) error
	Check(ctx context.Context) error
	Publish(ctx context.Context, ch execution.Change) error
}

// Config has what a Server works with and how it behaves.
type Config struct {
	Stores    Stores
	Submitter Submitter
	Queue     Queue
	Watch     *watch.Registry     // Serve runs it
	LiveSteps *livesteps.Follower // nil: steps are shown when their attempt has ended
	Artifacts Artifacts
	Auth      Authenticator
	// OperatorKey identifies the operator, in addition to what Auth does; nil: no key does.
	OperatorKey *auth.OperatorKey
	Tracer      oteltrace.Tracer // starts the spans of requests; nil: no spans
	Log         *zap.Logger

	WebUI   http.Handler // serves / to browsers, and /assets
	Metrics http.Handler // serves /metrics; nil: another listener serves the metrics

	// StartableRuntimes returns the runtimes that living executors can start; nil if that is not known. It is called
	// for each queued execution that is shown. Nil: never known.
	StartableRuntimes func(context.Context) []string

	Version        string
	Runtimes       []string                      // names that an agent may choose
	Capabilities   map[string]agent.Capabilities // what the runtimes can give to their agents; none of them: nothing
	DefaultRuntime string                        // of agents that choose none, and of the agent builder
	QueueTimeout   time.Duration                 // of executions that set none
	FileRetention  time.Duration                 // of uploaded files; 0: they never expire
	Origins        []string                      // origins of web pages that may call the API (CORS)
	APIKeyPepper   *apikey.Pepper                // of the API keys that are issued; nil: API keys are disabled
	EgressHosts    environment.Rules             // the hosts that environments may ask for
	WebhookGuard   netguard.Guard                // says which addresses a webhook may have
	PromptRules    promptrules.Rules
	Limits         Limits
	TenantDefaults tenant.Limits // of the installation, as the operator sees them
	DrainDelay     time.Duration // how long the server accepts requests after it says that it is not ready
}

// Server is the API of one process.
type Server struct {
	config    Config
	stores    Stores
	submitter Submitter
	queue     Queue
	log       *zap.Logger

	echo          *echo.Echo
	watchers      *watch.Registry // wakes long polls and streams that wait for a change of an execution
	finishedCache *finishedCache
	workCounts    *workCounts
	readSlots     *semaphore.Weighted // bounds concurrent reads of executions
	streamSlots   *tenantSlots        // bounds open event streams
	uploadSlots   *tenantSlots        // bounds uploads in progress
	stopping      atomic.Bool         // the server says that it is not ready
	shutdown      chan struct{}       // closed when long polls and streams must end
	beginShutdown func()
}

// storeTimeout bounds the calls of the store by one request.
const storeTimeout = 5 * time.Second

// New returns a server. Serve starts it.
func New(config Config) *Server {
	if config.Tracer == nil {
		config.Tracer = trace.Noop
	}
	s := &Server{
		config: config, stores: config.Stores, submitter: config.Submitter, queue: config.Queue, watchers: config.Watch, log: config.Log,

		echo: echo.New(), finishedCache: newFinishedCache(), workCounts: newWorkCounts(),
		readSlots: semaphore.NewWeighted(maxConcurrentReads), streamSlots: newStreamSlots(), uploadSlots: newUploadSlots(),
		shutdown: make(chan struct{}),
	}
	s.beginShutdown = sync.OnceFunc(func() { close(s.shutdown) })
	e := s.echo
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.handleError
	e.IPExtractor = config.Limits.ipExtractor()
	e.Server.ReadHeaderTimeout = config.Limits.clientTimeout()
	e.Server.IdleTimeout = idleTimeout
	e.Server.MaxHeaderBytes = maxHeaderBytes
	s.useMiddleware()
	contract.RegisterHandlers(e, s)
	e.GET("/executions/:id/files/*", s.getExecutionFileByPath)
	e.GET("/assets/*", echo.WrapHandler(config.WebUI))
	return s
}

// Handler serves the API without a listener.
func (s *Server) Handler() http.Handler { return s.echo }

// Serve answers requests on the listener until ctx ends. Then it says that it is not ready, continues for
// Config.DrainDelay, and waits for at most the grace period for open requests to end. During all that time it receives
// signals.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	s.echo.Listener = ratelimit.NewListener(l, s.config.Limits.MaxConnections, s.config.Limits.clientTimeout())
	g, ctx := errgroup.WithContext(ctx)
	signalCtx, stopSignals := context.WithCancel(context.WithoutCancel(ctx))
	g.Go(func() error {
		if err := s.echo.Start(""); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error { return s.watchers.Run(signalCtx) })
	g.Go(func() error {
		supervise.RunUntilSuccess(ctx, s.log, "ensure the Pub/Sub topics", func(ctx context.Context) error { return s.queue.Ensure(ctx) })
		return nil
	})
	g.Go(func() error {
		defer stopSignals()
		<-ctx.Done()
		s.stopping.Store(true)
		time.Sleep(s.config.DrainDelay)
		s.beginShutdown()
		shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		return s.echo.Shutdown(shutdownCtx)
	})
	return g.Wait()
}

// storeContext bounds the calls of the store by a request.
func storeContext(c echo.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request().Context(), storeTimeout)
}

// converses reports whether agents of a runtime take part in conversations. One that the operator has removed may come
// back.
func (s *Server) converses(runtime string) bool {
	c, known := s.config.Capabilities[runtime]
	return !known || c.Conversations
}

func (s *Server) hasRuntime(name string) bool { return slices.Contains(s.config.Runtimes, name) }
