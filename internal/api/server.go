// Package api is the HTTP face of Airlock: it takes work, says that it is
// durable, and tells how it went. It keeps no state; everything is in the store.
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
	"github.com/labstack/echo/v4/middleware"
	oteltrace "go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/promptrules"
	"github.com/airlock-run/airlock/internal/api/ratelimit"
	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/apikey"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/failpoint"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// Store is where everything is. Its methods may be called concurrently; the
// submissions are durable once they return nil.
type Store interface {
	Now(ctx context.Context) (time.Time, error)

	CreateAgent(ctx context.Context, a *agent.Agent) error
	Agent(ctx context.Context, tenant, id string) (agent.Agent, error)
	UpdateAgent(ctx context.Context, tenant, id string, edit func(agent.Agent) (agent.Agent, error)) (agent.Agent, error)
	DeleteAgent(ctx context.Context, tenant, id string) error
	Agents(ctx context.Context, tenant string, p store.Page) ([]agent.Agent, error)

	SubmitRun(ctx context.Context, r store.RunRequest) (execution.Change, error)
	SubmitTurn(ctx context.Context, t store.TurnRequest) (execution.Change, error)
	Retry(ctx context.Context, ref execution.Ref) (execution.Change, error)
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
	Execution(ctx context.Context, ref execution.Ref) (execution.Execution, error)
	Executions(ctx context.Context, tenant string, f store.Filter, p store.Page) ([]execution.Execution, error)

	NewBatchInputWriter(ref batch.Ref) *store.BatchInputWriter
	SubmitBatch(ctx context.Context, b *batch.Batch) error
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, time.Time, error)
	Batches(ctx context.Context, tenant string, p store.Page) ([]batch.Batch, error)
	CancelBatch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	BatchCounts(ctx context.Context, ref batch.Ref) (map[execution.Status]int, float64, error)
	BatchExecutions(ctx context.Context, b *batch.Batch, first, limit int) ([]execution.Execution, error)

	Delivery(ctx context.Context, ref webhook.Ref) (webhook.Delivery, error)
	Deliveries(ctx context.Context, tenant string, p store.Page) ([]webhook.Delivery, error)
	UpdateDelivery(ctx context.Context, ref webhook.Ref, change func(*webhook.Delivery, time.Time) error) (webhook.Delivery, time.Time, error)
	WebhookSecrets(ctx context.Context, tenant string) (webhook.Secrets, error)
	RotateWebhookSecret(ctx context.Context, tenant string) (webhook.Secrets, error)

	Conversation(ctx context.Context, tenant, id string) (conversation.Conversation, error)
	DeleteConversation(ctx context.Context, tenant, id string) (pending []string, err error)
	Conversations(ctx context.Context, tenant string, p store.Page) ([]conversation.Conversation, error)
	Messages(ctx context.Context, tenant, conversationID string, beforeTurn, limit int) ([]conversation.Message, error)

	CheckIdempotencyKey(ctx context.Context, tenant, key string) error

	CreateAPIKey(ctx context.Context, k *apikey.Key, lifetime time.Duration) error
	APIKeys(ctx context.Context, tenant string, p store.Page) ([]apikey.Key, error)
	RevokeAPIKey(ctx context.Context, tenant, id string) error
}

// Queue is the doorbell. Tell may fail without harm. Listen calls hear concurrently.
type Queue interface {
	Ensure(ctx context.Context) error
	Check(ctx context.Context) error
	Publish(ctx context.Context, ch execution.Change) error
	Subscribe(ctx context.Context, hear func(execution.Ref)) error
}

// Config says how the API works.
type Config struct {
	Version        string
	Runtimes       []string      // names that an agent may choose
	DefaultRuntime string        // of agents that choose none, and of the builder
	BatchWindow    int           // how many executions of a tenant's batches may be queued or running at once
	QueueTimeout   time.Duration // of executions that ask for none
	Origins        []string      // that may call from other pages (CORS)
	WebUI          http.Handler  // of / for browsers, and of its assets
	Artifacts      Artifacts
	DrainDelay     time.Duration // how long it goes on, not ready, after a stop was asked for
	Metrics        http.Handler  // of /metrics; nil: they are shown elsewhere

	Auth         Authenticator  // tells who calls
	Pepper       apikey.Pepper  // of the keys that are issued; used where Auth knows keys
	WebhookGuard netguard.Guard // of the addresses that a webhook may name
	Limits       Limits
	PromptRules  promptrules.Rules // on what no agent is asked
	Tracer       oteltrace.Tracer  // makes the spans of requests; nil: they have none
}

// Server is the API of one process.
type Server struct {
	config        Config
	store         Store
	queue         Queue
	log           *zap.Logger
	echo          *echo.Echo
	watchers      broadcast.Broadcaster
	finishedCache *finishedCache
	readSlots     *semaphore.Weighted // of executions, that there may be at once
	streamSlots   *semaphore.Weighted // of events, that may be open
	shutdown      chan struct{}       // closed when long polls should answer what they know
	beginShutdown func()

	stopping atomic.Bool
}

// storeTimeout bounds what one request waits for the store.
const storeTimeout = 5 * time.Second

// New returns a server; Serve starts it.
func New(config Config, s Store, q Queue, log *zap.Logger) *Server {
	srv := &Server{config: config, store: s, queue: q, log: log, echo: echo.New(), finishedCache: newFinishedCache(), readSlots: semaphore.NewWeighted(maxConcurrentReads), streamSlots: semaphore.NewWeighted(maxStreams), shutdown: make(chan struct{})}
	srv.beginShutdown = sync.OnceFunc(func() { close(srv.shutdown) })
	if config.Tracer == nil {
		srv.config.Tracer = trace.Noop
	}
	e := srv.echo
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = srv.handleError
	e.IPExtractor = config.Limits.ipExtractor()
	e.Server.ReadHeaderTimeout = config.Limits.clientTimeout()
	e.Server.IdleTimeout = idleTimeout
	e.Server.MaxHeaderBytes = maxHeaderBytes
	e.Use(
		middleware.RequestID(),
		srv.traceRequest,
		srv.accessLog,
		srv.audit,
		middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: srv.logPanic}),
		middleware.CORSWithConfig(middleware.CORSConfig{
			AllowOrigins:  config.Origins,
			AllowHeaders:  []string{echo.HeaderContentType, echo.HeaderAuthorization, tenantHeader, headerIfNoneMatch, "Prefer", headerIdempotencyKey},
			ExposeHeaders: []string{echo.HeaderLocation, echo.HeaderRetryAfter, echo.HeaderXRequestID, echo.HeaderWWWAuthenticate, headerETag, "Preference-Applied", headerReplayed},
		}),
		middleware.SecureWithConfig(middleware.SecureConfig{
			ContentTypeNosniff:    "nosniff",
			XFrameOptions:         "DENY",
			ReferrerPolicy:        "no-referrer",
			ContentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'", // the page has its own
		}),
	)
	if _, isDev := config.Auth.(DevAuthenticator); isDev {
		e.Use(requireLocalHost)
	}
	e.Use(limitHeaders, srv.limitBodyTime, srv.authenticate, discardGetBody, validateParameters, srv.idempotent)
	contract.RegisterHandlers(e, srv)
	e.GET("/executions/:id/files/*", srv.getExecutionFileByPath)
	e.GET("/assets/*", echo.WrapHandler(config.WebUI))
	return srv
}

// Handler serves the API without a listener of its own.
func (s *Server) Handler() http.Handler { return s.echo }

// Serve answers on the listener until ctx ends. It then says that it is not
// ready, goes on for Config.Drain, and gives what is being answered the grace
// to end. Meanwhile it keeps the topics made and hears signals.
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
	g.Go(func() error { return s.receiveSignals(signalCtx) })
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

// hear makes sure of the topics, then wakes the long polls of this process.
func (s *Server) receiveSignals(ctx context.Context) error {
	return supervise.Run(ctx, s.log, "hear signals", func(ctx context.Context) error {
		if err := s.queue.Ensure(ctx); err != nil {
			return err
		}
		return s.queue.Subscribe(ctx, s.watchers.Notify)
	})
}

// tell passes a change on. It is durable already, so a failure is only logged:
// the janitor announces what was not heard.
func (s *Server) publish(c echo.Context, ch execution.Change) {
	failpoint.Hit(failpoint.Accepted)
	if err := s.queue.Publish(c.Request().Context(), ch); err != nil {
		s.log.Warn("could not tell of a change; the janitor will",
			zap.String("execution", ch.Execution.ID), zap.String("tenant", ch.Execution.Tenant), zap.Error(err))
	}
}

// storeContext bounds what a request may wait for the store.
func storeContext(c echo.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request().Context(), storeTimeout)
}

func (s *Server) hasRuntime(name string) bool { return slices.Contains(s.config.Runtimes, name) }
