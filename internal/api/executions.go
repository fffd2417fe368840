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
	t, over, err := s.await(c.Request().Context(), ref, patience)
	if err == nil && patience > 0 {
		err = s.admitted(c)
	}
	if err != nil {
		return err
	}
	if !over {
		c.Response().Header().Set(echo.HeaderRetryAfter, "1")
	}
	return t.answer(c)
}

// await looks at the execution until it has ended, the wait is over, or the
// server closes, and returns what there is to say of it then. Meanwhile it
// keeps nothing of it.
func (s *Server) await(ctx context.Context, ref execution.Ref, wait time.Duration) (t tagged, ended bool, err error) {
	news, leave := s.waiting.Enter(ref) // before the first look, so that nothing is missed between
	defer leave()
	until := time.Now().Add(wait)
	for closing := false; ; {
		rest := time.Until(until)
		t, ended, err = s.look(ctx, ref)
		if err != nil || ended || closing || rest <= 0 {
			return t, ended, err
		}
		t = tagged{}
		select {
		case <-news:
		case <-time.After(min(s.reread(), rest)):
		case <-s.closing:
			closing = true
		case <-ctx.Done():
			return t, false, ctx.Err()
		}
	}
}

// look reads an execution and makes what there is to say of it. It has a stack
// of its own for that: it needs 32 KiB, which a poll would keep while it waits.
func (s *Server) look(ctx context.Context, ref execution.Ref) (t tagged, ended bool, err error) {
	var looking sync.WaitGroup
	looking.Go(func() {
		defer supervise.Panic(&err)
		var e execution.Execution
		if e, err = s.readExecution(ctx, ref); err != nil {
			return
		}
		t, err = tag(viewExecution(e))
		if ended = err == nil && e.Status.Terminal(); ended {
			s.ended.remember(ref, t)
		}
	})
	looking.Wait()
	return t, ended, err
}

// maxReads is how many executions a process reads at once; very many may be
// asked for together.
const maxReads = 128

func (s *Server) readExecution(ctx context.Context, ref execution.Ref) (e execution.Execution, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.reads.Acquire(ctx, 1); err != nil {
		return e, err
	}
	defer s.reads.Release(1)
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
