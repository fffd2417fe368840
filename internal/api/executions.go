package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// ExecutionStore reads executions. All but Executions return a *store.NotFoundError for a missing one. The version says
// whether the execution has changed since, and now is Firestore's time. Executions lists the newest first. If Apply
// returns execution.ErrTerminal, its change has the finished execution.
type ExecutionStore interface {
	ExecutionVersion(ctx context.Context, ref execution.Ref) (e execution.Execution, version time.Time, err error)
	Execution(ctx context.Context, ref execution.Ref) (execution.Execution, error)
	ExecutionAt(ctx context.Context, ref execution.Ref) (e execution.Execution, now time.Time, err error)
	Executions(ctx context.Context, tenant string, f store.Filter, p store.Page) ([]execution.Execution, error)
	Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error)
}

// ListExecutions returns a page of the tenant's executions.
func (s *Server) ListExecutions(c echo.Context, params contract.ListExecutionsParams) error {
	if err := errors.Join(
		checkFilterID("agentId", id.Agent, params.AgentId),
		checkFilterID("conversationId", id.Conversation, params.ConversationId),
		checkFilterID("batchId", id.Batch, params.BatchId),
	); err != nil {
		return err
	}
	filter := store.Filter{
		Status: execution.Status(params.Status), Kind: execution.Kind(params.Kind),
		AgentID: params.AgentId, ConversationID: params.ConversationId, BatchID: params.BatchId,
		Label: execution.Label(params.Label),
	}
	read := func(ctx context.Context, tenant string, p store.Page) ([]execution.Execution, error) {
		return s.stores.Executions.Executions(ctx, tenant, filter, p)
	}
	executions, next, err := readPage(c, pageParams{params.Limit, params.Cursor}, read,
		func(e execution.Execution) cursorPosition { return timePosition(e.CreatedAt, e.ID) })
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.ExecutionList{NextCursor: next, Executions: viewAll(executions, func(e execution.Execution) contract.Execution {
		v := viewListedExecution(e)
		v.WaitingFor = s.waitingFor(c.Request().Context(), &e)
		return v
	})})
}

// viewCurrentExecution also says what a queued execution waits for.
func (s *Server) viewCurrentExecution(ctx context.Context, e execution.Execution) contract.Execution {
	v := viewExecution(e)
	v.WaitingFor = s.waitingFor(ctx, &e)
	return v
}

// waitingFor says that a queued execution waits for its agent's budget of the next day, or for an executor with its
// runtime.
func (s *Server) waitingFor(ctx context.Context, e *execution.Execution) contract.WaitingFor {
	if e.WaitsForBudget(time.Now()) {
		return contract.WaitingForBudget
	}
	if e.Status != execution.Queued || s.config.StartableRuntimes == nil || !e.WaitsForExecutor(s.config.StartableRuntimes(ctx)) {
		return ""
	}
	return contract.WaitingForExecutor
}

// GetExecution returns an execution, at once or when it has finished.
func (s *Server) GetExecution(c echo.Context, executionID contract.ID, params contract.GetExecutionParams) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	waitTime, applied, err := requestedWait(params, c.Request().Header)
	if err != nil {
		return err
	}
	if applied != "" {
		c.Response().Header().Set(headerPreferenceApplied, applied)
	}
	if cached, ok := s.finishedCache.get(ref); ok && (cached.body != nil || cached.matches(c.Request())) {
		return cached.respond(c)
	}
	if waitTime > 0 {
		c.Set(longPollKey, true)
		metrics.LongPolls.Inc()
		defer metrics.LongPolls.Dec()
	}
	t, finished, err := s.waitUntilFinished(c, ref, waitTime)
	if err != nil {
		return err
	}
	if !finished {
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	return t.respond(c)
}

// waitUntilFinished reads an execution until it has finished, the wait time is over, or the server shuts down. It
// returns the response about its newest state. While it waits it holds no such response in memory.
func (s *Server) waitUntilFinished(c echo.Context, ref execution.Ref, waitTime time.Duration) (t taggedResponse, finished bool, err error) {
	notified, unsubscribe := s.watchers.Subscribe(ref) // before the first read, so that no change is missed
	defer unsubscribe()
	deadline := time.Now().Add(waitTime)
	watcher := s.newWatcher(store.WatchEnds)
	for shuttingDown := false; ; {
		remaining := time.Until(deadline)
		var read readVersion
		t, read, err = s.readResponse(c.Request().Context(), ref)
		finished = read.Status.Terminal()
		if err != nil || finished || shuttingDown || remaining <= 0 {
			return t, finished, err
		}
		interval := watcher.next(c.Request().Context(), &read)
		if interval == 0 {
			continue
		}
		t = taggedResponse{}
		err = s.waitForChange(c, notified, min(interval, remaining))
		if shuttingDown = errors.Is(err, errShuttingDown); err != nil && !shuttingDown {
			return t, false, err
		}
	}
}

// readResponse reads an execution and renders the response about it. It does so in a goroutine of its own: that needs a
// stack of 32 KiB, which would otherwise stay allocated while a long poll waits.
func (s *Server) readResponse(ctx context.Context, ref execution.Ref) (t taggedResponse, read readVersion, err error) {
	var wg sync.WaitGroup
	wg.Go(func() {
		defer supervise.RecoverTo(&err)
		e, version, readErr := s.readExecution(ctx, ref)
		if err = readErr; err != nil {
			return
		}
		t, err = newTaggedResponse(s.viewCurrentExecution(ctx, e))
		if read = versionOf(&e, version); err == nil && e.Status.Terminal() {
			s.finishedCache.put(ref, t)
		}
	})
	wg.Wait()
	return t, read, err
}

// maxConcurrentReads bounds how many executions a process reads at the same time, because a signal can wake very many
// long polls at once.
const maxConcurrentReads = 128

func (s *Server) readExecution(ctx context.Context, ref execution.Ref) (e execution.Execution, version time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.readSlots.Acquire(ctx, 1); err != nil {
		return e, version, err
	}
	defer s.readSlots.Release(1)
	return s.stores.Executions.ExecutionVersion(ctx, ref)
}

// CancelExecution cancels an execution: a queued one finishes at once, the job of a running one is killed.
func (s *Server) CancelExecution(c echo.Context, executionID contract.ID) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	ch, err := s.stores.Executions.Apply(ctx, ref, execution.CancelRequested{})
	if err == nil {
		s.publish(c, ch)
	} else if !errors.Is(err, execution.ErrTerminal) {
		return err
	}
	return respondJSON(c, http.StatusAccepted, viewExecution(ch.Execution))
}

// RetryExecution accepts a new execution that repeats one which did not succeed.
func (s *Server) RetryExecution(c echo.Context, executionID contract.ID, _ contract.RetryExecutionParams) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	key := idempotencyKey(c)
	ctx, cancel := storeContext(c)
	defer cancel()
	e, err := s.stores.Executions.Execution(ctx, ref)
	if err != nil {
		return err
	}
	if err := s.checkRules("input", e.Task.Input); err != nil { // a rule may be newer than the execution
		return err
	}
	ch, err := s.submitter.Retry(ctx, ref, key)
	if err != nil {
		return err
	}
	return s.respondAccepted(c, ch)
}

func executionRef(c echo.Context, executionID string) (execution.Ref, error) {
	return execution.Ref{Tenant: tenantID(c), ID: executionID}, checkID(id.Execution, executionID)
}
