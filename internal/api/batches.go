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

// BatchStore reads and cancels batches; Submitter creates them. Batch also returns the store's time; it and CancelBatch
// return a *store.NotFoundError for a missing batch. Batches lists the newest first. CancelBatch returns
// execution.ErrTerminal for a finished batch. BatchCounts returns the number of executions by status, and their cost in
// US dollars. BatchExecutions returns the executions of the inputs from first on, in order, at most limit, up to the
// first input that has had none yet; nil is a missing execution.
type BatchStore interface {
	NewBatchInputWriter(ref batch.Ref) *store.BatchInputWriter
	Batch(ctx context.Context, ref batch.Ref) (batch.Batch, time.Time, error)
	Batches(ctx context.Context, tenant string, p store.Page) ([]batch.Batch, error)
	CancelBatch(ctx context.Context, ref batch.Ref) (batch.Batch, error)
	BatchCounts(ctx context.Context, ref batch.Ref) (map[execution.Status]int, float64, error)
	BatchExecutions(ctx context.Context, b *batch.Batch, first, limit int) ([]*execution.Execution, error)
}

// batchTimeout bounds the submission of a batch, from its first line to its response.
const batchTimeout = 5 * time.Minute

// SubmitBatch accepts many inputs for one agent. It reads them as a stream.
func (s *Server) SubmitBatch(c echo.Context, agentID contract.ID, params contract.SubmitBatchParams) error {
	if err := checkID(id.Agent, agentID); err != nil {
		return err
	}
	if err := s.checkWebhook(params.Webhook); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), batchTimeout)
	defer cancel()
	if err := s.checkAgent(ctx, tenantID(c), agentID, params.AgentVersion); err != nil {
		return err // before a large body is read
	}
	if err := s.checkEnvironment(ctx, tenantID(c), params.EnvironmentId); err != nil {
		return err
	}
	reader, err := newLineReader(c)
	if err != nil {
		return err
	}
	template := batch.Batch{AgentID: agentID, AgentVersion: params.AgentVersion, Webhook: params.Webhook}
	template.Task.Environment.ID = params.EnvironmentId
	return s.storeBatch(ctx, c, template, func(add func(batch.Input) error) error {
		return reader.forEach(add, s.fileResolver(ctx, tenantID(c)))
	})
}

// checkAgent returns a NotFoundError if the tenant does not have the agent or its version. Version 0 is the newest.
func (s *Server) checkAgent(ctx context.Context, tenant, agentID string, version int) (err error) {
	if version == 0 {
		_, err = s.stores.Agents.Agent(ctx, tenant, agentID)
	} else {
		_, err = s.stores.Agents.AgentVersion(ctx, tenant, agentID, version)
	}
	return err
}

// fileResolver returns a resolver that reads each file of a tenant once. It keeps only files that exist: no more than
// the tenant may store.
func (s *Server) fileResolver(ctx context.Context, tenant string) fileResolver {
	found := map[string]*execution.Content{}
	return func(fileID string) (*execution.Content, error) {
		if content := found[fileID]; content != nil {
			return content, nil
		}
		f, err := s.stores.Files.File(ctx, tenant, fileID)
		var notFound *store.NotFoundError
		if errors.As(err, &notFound) {
			return nil, nil //nolint:nilnil // there is no such file
		}
		if err != nil {
			return nil, err
		}
		found[fileID] = &f.Content
		return &f.Content, nil
	}
}

// storeBatch stores the inputs that forEachInput yields, and then the batch. If the batch is certainly not stored, it
// deletes the inputs.
func (s *Server) storeBatch(ctx context.Context, c echo.Context, b batch.Batch, forEachInput func(func(batch.Input) error) error) error {
	b.ID, b.Tenant, b.QueueTimeout = id.New(id.Batch), tenantID(c), s.config.QueueTimeout
	inputs := s.stores.Batches.NewBatchInputWriter(b.Ref())
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
		err = explainMissingEnvironment(s.submitter.SubmitBatch(ctx, &b, idempotencyKey(c)))
	}
	if errors.Is(err, store.ErrOutcomeUnknown) {
		return err // the batch may exist; if it does not, the janitor deletes the inputs
	}
	if err != nil {
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		return errors.Join(err, inputs.Delete(cleanupCtx))
	}
	return s.respondCreated(c, store.Created{Batch: &b})
}

// ListBatches returns a page of the tenant's batches.
func (s *Server) ListBatches(c echo.Context, params contract.ListBatchesParams) error {
	batches, next, err := readPage(c, pageParams{params.Limit, params.Cursor}, s.stores.Batches.Batches,
		func(b batch.Batch) cursorPosition { return timePosition(b.CreatedAt, b.ID) })
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.BatchList{Batches: viewAll(batches, viewBatch), NextCursor: next})
}

// GetBatch returns a batch and its progress.
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

// CancelBatch cancels a batch. The dispatcher cancels its executions.
func (s *Server) CancelBatch(c echo.Context, batchID contract.ID) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	b, now, err := s.readBatch(ctx, c, batchID)
	if err != nil {
		return err
	}
	canceled, err := s.stores.Batches.CancelBatch(ctx, b.Ref())
	if err == nil {
		b = canceled
		s.submitter.Wake(b.Tenant, execution.LaneBatch)
	} else if !errors.Is(err, execution.ErrTerminal) {
		return err
	}
	view, err := s.viewBatchWithProgress(ctx, b, now)
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusAccepted, view)
}

// RetryBatch accepts a new batch of the inputs that failed or timed out, with the same versions of the agent and the
// environment. It cannot repeat missing ones.
func (s *Server) RetryBatch(c echo.Context, batchID contract.ID, _ contract.RetryBatchParams) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), batchTimeout)
	defer cancel()
	b, _, err := s.readBatch(ctx, c, batchID)
	if err != nil {
		return err
	}
	if b.FinishedAt == nil {
		return errBatchNotFinished
	}
	retry := batch.Batch{AgentID: b.AgentID, AgentVersion: b.AgentVersion, RetryOf: b.ID, Webhook: b.Webhook}
	retry.Task.Environment = b.Task.Environment
	return s.storeBatch(ctx, c, retry, func(add func(batch.Input) error) error {
		return s.forEachFailedInput(ctx, &b, add)
	})
}

func (s *Server) forEachFailedInput(ctx context.Context, b *batch.Batch, add func(batch.Input) error) error {
	found := false
	for first := 0; first < b.NextInput; first += resultsPageSize {
		page, err := s.stores.Batches.BatchExecutions(ctx, b, first, resultsPageSize)
		if err != nil {
			return err
		}
		for _, e := range page {
			if e == nil || e.Status != execution.Failed && e.Status != execution.TimedOut {
				continue
			}
			found = true
			if err := add(batch.Input{Text: e.Task.Input, RetryOf: e.ID, Files: e.Task.InputFileList}); err != nil {
				return err
			}
		}
	}
	if !found {
		return errNoFailedInput
	}
	return nil
}

func (s *Server) readBatch(ctx context.Context, c echo.Context, batchID string) (batch.Batch, time.Time, error) {
	if err := checkID(id.Batch, batchID); err != nil {
		return batch.Batch{}, time.Time{}, err
	}
	return s.stores.Batches.Batch(ctx, batch.Ref{Tenant: tenantID(c), ID: batchID})
}

func (s *Server) viewBatchWithProgress(ctx context.Context, b batch.Batch, now time.Time) (contract.Batch, error) {
	counts, cost, err := s.stores.Batches.BatchCounts(ctx, b.Ref())
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
		Id: b.ID, AgentId: b.AgentID, AgentVersion: b.AgentVersion, Environment: viewEnvironmentRef(b.Task.Environment), RetryOf: b.RetryOf, Status: status, Total: b.Total,
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
		TimedOut: p.ByStatus[execution.TimedOut], Canceled: p.ByStatus[execution.Canceled], Missing: p.Missing, CostUsd: p.CostUSD,
	}
	if p.EstimatedRemaining > 0 {
		v.Eta = p.EstimatedRemaining.String()
	}
	return v
}
