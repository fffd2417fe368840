package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/id"
	"github.com/airlock-run/airlock/internal/metrics"
	"github.com/airlock-run/airlock/internal/store"
)

// reread is what a lost signal costs a waiting caller: 2 s, or where very many
// wait as long as keeps the reads of this process below waitingReads a second.
func (s *Server) reread() time.Duration {
	return max(2*time.Second, time.Duration(s.waiting.Len())*time.Second/waitingReads)
}

const waitingReads = 500

// ListExecutions shows a page of the caller's executions.
func (s *Server) ListExecutions(c echo.Context, params contract.ListExecutionsParams) error {
	l, err := readListing(c, params.Limit, params.Cursor)
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
	found, err := s.store.Executions(ctx, owner(c), store.Filter{
		Status: execution.Status(params.Status), Kind: execution.Kind(params.Kind),
		AgentID: params.AgentId, ConversationID: params.ConversationId, BatchID: params.BatchId,
		Label: execution.Label(params.Label),
	}, l.page())
	if err != nil {
		return err
	}
	shown, next := cut(&l, found, func(e execution.Execution) place { return placeOf(e.CreatedAt, e.ID) })
	return answer(c, http.StatusOK, contract.ExecutionList{Executions: views(shown, viewListed), NextCursor: next})
}

// GetExecution shows an execution, now or as soon as it has ended.
func (s *Server) GetExecution(c echo.Context, executionID contract.ID, params contract.GetExecutionParams) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	patience, applied, err := wait(params, c.Request().Header)
	if err != nil {
		return err
	}
	if applied != "" {
		c.Response().Header().Set("Preference-Applied", applied)
	}
	if known, ok := s.ended.recall(ref); ok && (known.body != nil || known.known(c.Request())) {
		return known.answer(c)
	}
	if patience > 0 {
		c.Set(waits, true)
		metrics.LongPolls.Inc()
		defer metrics.LongPolls.Dec()
	}
	e, err := s.await(c.Request().Context(), ref, patience)
	if err == nil && patience > 0 {
		err = s.admitted(c)
	}
	if err != nil {
		return err
	}
	t, err := tag(viewExecution(e))
	if err != nil {
		return err
	}
	if e.Status.Terminal() {
		s.ended.remember(ref, t)
	} else {
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	return t.answer(c)
}

// await reads the execution until it has ended, the wait is over, or the
// server closes, and returns it as it then is.
func (s *Server) await(ctx context.Context, ref execution.Ref, wait time.Duration) (execution.Execution, error) {
	news, leave := s.waiting.Enter(ref) // before the first read, so that nothing is missed between
	defer leave()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		e, err := s.readExecution(ctx, ref)
		if err != nil || e.Status.Terminal() || wait == 0 {
			return e, err
		}
		select {
		case <-news:
		case <-time.After(s.reread()):
		case <-over.C:
			return e, nil
		case <-s.closing:
			return e, nil
		case <-ctx.Done():
			return e, ctx.Err()
		}
	}
}

func (s *Server) readExecution(ctx context.Context, ref execution.Ref) (execution.Execution, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
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
	ch, err := s.store.Apply(ctx, ref, execution.CancelAsked{})
	if errors.Is(err, execution.ErrTerminal) {
		ch.Execution, err = s.store.Execution(ctx, ref)
		ch.Announce = nil
	} else if err == nil {
		s.tell(c, ch)
	}
	if err != nil {
		return err
	}
	return answer(c, http.StatusAccepted, viewExecution(ch.Execution))
}

func executionRef(c echo.Context, executionID string) (execution.Ref, error) {
	if !id.Valid(id.Execution, executionID) {
		return execution.Ref{}, &store.NotFoundError{Resource: "execution", ID: executionID}
	}
	return execution.Ref{Owner: owner(c), ID: executionID}, nil
}
