package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// batchTimeout bounds the whole of a batch's submission.
const batchTimeout = 5 * time.Minute

// SubmitBatch accepts many inputs for one agent, as a stream.
func (s *Server) SubmitBatch(c echo.Context, agentID contract.ID, params contract.SubmitBatchParams) error {
	if !id.Valid(id.Agent, agentID) {
		return &store.NotFoundError{Resource: "agent", ID: agentID}
	}
	if err := s.checkWebhook(params.Webhook); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), batchTimeout)
	defer cancel()
	if _, err := s.store.Agent(ctx, tenantID(c), agentID); err != nil {
		return err // before a large body is read in vain
	}
	reader, err := newLineReader(c)
	if err != nil {
		return err
	}
	return s.storeBatch(ctx, c, batch.Batch{AgentID: agentID, Webhook: params.Webhook}, reader.forEach)
}

// submit stores the inputs that each gives, and then the batch that they make.
// Inputs without a batch are removed again.
func (s *Server) storeBatch(ctx context.Context, c echo.Context, b batch.Batch, forEachInput func(func(batch.Input) error) error) error {
	b.ID, b.Tenant, b.Window, b.QueueTimeout = id.New(id.Batch), tenantID(c), s.config.BatchWindow, s.config.QueueTimeout
	inputs := s.store.NewBatchInputWriter(b.Ref())
	err := forEachInput(func(input batch.Input) error {
		if err := s.checkRules(fmt.Sprintf("input %d", inputs.Len()), input.Text); err != nil {
			return err
		}
		return inputs.Add(ctx, input)
	})
	if err == nil {
		err = inputs.Flush(ctx)
	}
	if err == nil {
		b.Total = inputs.Len()
		err = s.store.SubmitBatch(ctx, &b)
	}
	if err != nil {
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		return errors.Join(err, inputs.Delete(cleanupCtx))
	}
	return respondCreated(c, b)
}

// ListBatches shows a page of the caller's batches.
func (s *Server) ListBatches(c echo.Context, params contract.ListBatchesParams) error {
	l, err := parsePageRequest(c, params.Limit, params.Cursor)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	found, err := s.store.Batches(ctx, tenantID(c), l.storePage())
	if err != nil {
		return err
	}
	shown, next := trimPage(&l, found, func(b batch.Batch) cursorPosition { return positionOf(b.CreatedAt, b.ID) })
	return respondJSON(c, http.StatusOK, contract.BatchList{Batches: viewAll(shown, viewBatch), NextCursor: next})
}

// GetBatch shows a batch and how far it is.
func (s *Server) GetBatch(c echo.Context, batchID contract.ID, _ contract.GetBatchParams) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	b, now, err := s.readBatch(ctx, c, batchID)
	if err != nil {
		return err
	}
	view, err := s.viewBatchWithProgress(ctx, b, now)
	if err != nil {
		return err
	}
	return respondWithETag(c, view)
}

// CancelBatch has the feeder cancel what is left.
func (s *Server) CancelBatch(c echo.Context, batchID contract.ID) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	b, now, err := s.readBatch(ctx, c, batchID)
	if err != nil {
		return err
	}
	canceled, err := s.store.CancelBatch(ctx, b.Ref())
	if err == nil {
		b = canceled
	} else if !errors.Is(err, execution.ErrTerminal) {
		return err
	}
	view, err := s.viewBatchWithProgress(ctx, b, now)
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusAccepted, view)
}

// RetryBatch makes a new batch of the inputs that failed or timed out.
func (s *Server) RetryBatch(c echo.Context, batchID contract.ID, _ contract.RetryBatchParams) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), batchTimeout)
	defer cancel()
	b, _, err := s.readBatch(ctx, c, batchID)
	if err != nil {
		return err
	}
	if b.FinishedAt == nil {
		return &problem{Status: http.StatusConflict, Code: contract.ProblemBatchNotFinished, Detail: "The batch has not ended. Wait for its end, or cancel it."}
	}
	return s.storeBatch(ctx, c, batch.Batch{AgentID: b.AgentID, RetryOf: b.ID, Webhook: b.Webhook}, func(add func(batch.Input) error) error {
		return s.forEachFailedInput(ctx, &b, add)
	})
}

func (s *Server) forEachFailedInput(ctx context.Context, b *batch.Batch, add func(batch.Input) error) error {
	found := false
	for first := 0; first < b.NextInput; {
		page, err := s.store.BatchExecutions(ctx, b, first, resultsPageSize)
		if err != nil {
			return err
		}
		for _, e := range page {
			if e.Status != execution.Failed && e.Status != execution.TimedOut {
				continue
			}
			found = true
			if err := add(batch.Input{Text: e.Task.Input, RetryOf: e.ID}); err != nil {
				return err
			}
		}
		first += len(page)
	}
	if !found {
		return &problem{Status: http.StatusConflict, Code: contract.ProblemNothingToRetry, Detail: "No input of the batch failed or timed out."}
	}
	return nil
}

func (s *Server) readBatch(ctx context.Context, c echo.Context, batchID string) (batch.Batch, time.Time, error) {
	if !id.Valid(id.Batch, batchID) {
		return batch.Batch{}, time.Time{}, &store.NotFoundError{Resource: "batch", ID: batchID}
	}
	return s.store.Batch(ctx, batch.Ref{Tenant: tenantID(c), ID: batchID})
}

func (s *Server) viewBatchWithProgress(ctx context.Context, b batch.Batch, now time.Time) (contract.Batch, error) {
	counts, cost, err := s.store.BatchCounts(ctx, b.Ref())
	view := viewBatch(b)
	if err == nil {
		view.Progress = viewProgress(b.Progress(counts, cost, now))
	}
	return view, err
}

func viewBatch(b batch.Batch) contract.Batch {
	self := "/batches/" + b.ID
	status := contract.BatchRunning
	switch {
	case b.FinishedAt != nil:
		status = contract.BatchFinished
	case b.CancelRequested:
		status = contract.BatchCanceling
	}
	return contract.Batch{
		Id: b.ID, AgentId: b.AgentID, RetryOf: b.RetryOf, Status: status, Total: b.Total,
		CreatedAt: b.CreatedAt, FinishedAt: orZero(b.FinishedAt),
		Urls: contract.BatchURLs{
			Self: self, Results: self + "/results", Cancel: self + "/cancel", Retry: self + "/retry",
			Delivery: deliveryURL(b.Webhook, b.ID, b.FinishedAt != nil),
		},
	}
}

func viewProgress(p batch.Progress) contract.BatchProgress {
	v := contract.BatchProgress{
		Pending: p.Pending, Queued: p.ByStatus[execution.Queued], Running: p.ByStatus[execution.Running],
		Succeeded: p.ByStatus[execution.Succeeded], Failed: p.ByStatus[execution.Failed],
		TimedOut: p.ByStatus[execution.TimedOut], Canceled: p.ByStatus[execution.Canceled], CostUsd: p.CostUSD,
	}
	if p.EstimatedRemaining > 0 {
		v.Eta = p.EstimatedRemaining.String()
	}
	return v
}
