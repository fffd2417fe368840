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

// reread is what a lost signal costs a waiting caller: 2 s, or where very many
// wait as long as keeps the reads of this process below waitingReads a second.
func (s *Server) pollInterval() time.Duration {
	return max(2*time.Second, time.Duration(s.watchers.Len())*time.Second/maxPollReadsPerSecond)
}

const maxPollReadsPerSecond = 500

// ListExecutions shows a page of the caller's executions.
func (s *Server) ListExecutions(c echo.Context, params contract.ListExecutionsParams) error {
	l, err := parsePageRequest(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	if err := errors.Join(
		checkFilterID("agentId", id.Agent, params.AgentId),
		checkFilterID("conversationId", id.Conversation, params.ConversationId),
		checkFilterID("batchId", id.Batch, params.BatchId),
	); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Executions(ctx, tenantID(c), store.Filter{
		Status: execution.Status(params.Status), Kind: execution.Kind(params.Kind),
		AgentID: params.AgentId, ConversationID: params.ConversationId, BatchID: params.BatchId,
		Label: execution.Label(params.Label),
	}, l.storePage())
	if err != nil {
		return err
	}
	shown, next := trimPage(&l, found, func(e execution.Execution) cursorPosition { return positionOf(e.CreatedAt, e.ID) })
	return respondJSON(c, http.StatusOK, contract.ExecutionList{Executions: viewAll(shown, viewListedExecution), NextCursor: next})
}

// GetExecution shows an execution, now or as soon as it has ended.
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
		c.Response().Header().Set("Preference-Applied", applied)
	}
	if cached, ok := s.finishedCache.get(ref); ok && (cached.body != nil || cached.matches(c.Request())) {
		return cached.respond(c)
	}
	if waitTime > 0 {
		c.Set(longPollKey, true)
		metrics.LongPolls.Inc()
		defer metrics.LongPolls.Dec()
	}
	t, finished, err := s.waitUntilFinished(c.Request().Context(), ref, waitTime)
	if err == nil && waitTime > 0 {
		err = s.reauthenticate(c)
	}
	if err != nil {
		return err
	}
	if !finished {
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	return t.respond(c)
}

// await looks at the execution until it has ended, the wait is over, or the
// server closes, and returns what there is to say of it then. Meanwhile it
// keeps nothing of it.
func (s *Server) waitUntilFinished(ctx context.Context, ref execution.Ref, waitTime time.Duration) (t taggedResponse, finished bool, err error) {
	notified, unsubscribe := s.watchers.Subscribe(ref) // before the first look, so that nothing is missed between
	defer unsubscribe()
	deadline := time.Now().Add(waitTime)
	for shuttingDown := false; ; {
		remaining := time.Until(deadline)
		t, finished, err = s.readResponse(ctx, ref)
		if err != nil || finished || shuttingDown || remaining <= 0 {
			return t, finished, err
		}
		t = taggedResponse{}
		select {
		case <-notified:
		case <-time.After(min(s.pollInterval(), remaining)):
		case <-s.shutdown:
			shuttingDown = true
		case <-ctx.Done():
			return t, false, ctx.Err()
		}
	}
}

// look reads an execution and makes what there is to say of it. It has a stack
// of its own for that: it needs 32 KiB, which a poll would keep while it waits.
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

// maxReads is how many executions a process reads at once; very many may be
// asked for together.
const maxConcurrentReads = 128

func (s *Server) readExecution(ctx context.Context, ref execution.Ref) (e execution.Execution, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.readSlots.Acquire(ctx, 1); err != nil {
		return e, err
	}
	defer s.readSlots.Release(1)
	return s.store.Execution(ctx, ref)
}

// CancelExecution ends a queued execution and has a running one killed.
func (s *Server) CancelExecution(c echo.Context, executionID contract.ID) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	ch, err := s.store.Apply(ctx, ref, execution.CancelRequested{})
	if errors.Is(err, execution.ErrTerminal) {
		ch.Execution, err = s.store.Execution(ctx, ref)
		ch.Notify = nil
	} else if err == nil {
		s.publish(c, ch)
	}
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusAccepted, viewExecution(ch.Execution))
}

func executionRef(c echo.Context, executionID string) (execution.Ref, error) {
	if !id.Valid(id.Execution, executionID) {
		return execution.Ref{}, &store.NotFoundError{Resource: "execution", ID: executionID}
	}
	return execution.Ref{Tenant: tenantID(c), ID: executionID}, nil
}
