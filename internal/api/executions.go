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

// ExecutionStore reads executions. Execution returns a *store.NotFoundError for a missing one. Executions lists the
// newest first. Submitter changes executions.
type ExecutionStore interface {
	Execution(ctx context.Context, ref execution.Ref) (execution.Execution, error)
	Executions(ctx context.Context, tenant string, f store.Filter, p store.Page) ([]execution.Execution, error)
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
	return respondJSON(c, http.StatusOK, contract.ExecutionList{Executions: viewAll(executions, viewListedExecution), NextCursor: next})
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
	for shuttingDown := false; ; {
		remaining := time.Until(deadline)
		t, finished, err = s.readResponse(c.Request().Context(), ref)
		if err != nil || finished || shuttingDown || remaining <= 0 {
			return t, finished, err
		}
		t = taggedResponse{}
		err = s.waitForChange(c, notified, min(s.pollInterval(), remaining))
		if shuttingDown = errors.Is(err, errShuttingDown); err != nil && !shuttingDown {
			return t, false, err
		}
	}
}

// readResponse reads an execution and renders the response about it. It does so in a goroutine of its own: that needs a
// stack of 32 KiB, which would otherwise stay allocated while a long poll waits.
func (s *Server) readResponse(ctx context.Context, ref execution.Ref) (t taggedResponse, finished bool, err error) {
	var wg sync.WaitGroup
	wg.Go(func() {
		defer supervise.RecoverTo(&err)
		var e execution.Execution
		if e, err = s.readExecution(ctx, ref); err != nil {
			return
		}
		t, err = newTaggedResponse(viewExecution(e))
		if finished = err == nil && e.Status.Terminal(); finished {
			s.finishedCache.put(ref, t)
		}
	})
	wg.Wait()
	return t, finished, err
}

// maxConcurrentReads bounds how many executions a process reads at the same time, because a signal can wake very many
// long polls at once.
const maxConcurrentReads = 128

func (s *Server) readExecution(ctx context.Context, ref execution.Ref) (e execution.Execution, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.readSlots.Acquire(ctx, 1); err != nil {
		return e, err
	}
	defer s.readSlots.Release(1)
	return s.stores.Executions.Execution(ctx, ref)
}

// CancelExecution cancels an execution: a queued one finishes at once, the job of a running one is killed.
func (s *Server) CancelExecution(c echo.Context, executionID contract.ID) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	ch, err := s.submitter.Apply(ctx, ref, execution.CancelRequested{})
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
