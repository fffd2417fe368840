package api

import (
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// resultsPage is how many results are read, and held in memory, at once.
const resultsPageSize = 50

// GetBatchResults streams the results in input order, and with follow waits
// for those that are not there yet.
func (s *Server) GetBatchResults(c echo.Context, batchID contract.ID, params contract.GetBatchResultsParams) error {
	ctx := c.Request().Context()
	b, _, err := s.readBatch(ctx, c, batchID)
	if err != nil {
		return err
	}
	next := 0
	if c.QueryParams().Has("after") {
		next = params.After + 1
	}
	if next < 0 || next > b.Total {
		return invalidRequest(fieldError("after", "must be the index of an input of the batch"))
	}
	c.Response().Header().Set(echo.HeaderContentType, mediaTypeJSONLines)
	c.Response().WriteHeader(http.StatusOK)
	for {
		next, err = s.writeResults(ctx, c, &b, next)
		if err != nil || next == b.Total || !params.Follow {
			return err
		}
		c.Response().Flush()
		if !s.waitForInput(ctx, &b, next) {
			return nil
		}
		if err := s.reauthenticate(c); err != nil {
			return err
		}
		if b, _, err = s.readBatch(ctx, c, batchID); err != nil {
			return err
		}
	}
}

// writeResults writes the results from input next on, up to the first that has
// not ended, and returns that one's index.
func (s *Server) writeResults(ctx context.Context, c echo.Context, b *batch.Batch, next int) (int, error) {
	for next < b.Total {
		page, err := s.store.BatchExecutions(ctx, b, next, resultsPageSize)
		if err != nil {
			return next, err
		}
		for _, e := range page {
			if !e.Status.Terminal() {
				return next, nil
			}
			if err := writeLine(c, viewBatchResult(next, e)); err != nil {
				return next, err
			}
			next++
		}
		if len(page) > 0 {
			continue
		}
		if b.FinishedAt == nil {
			return next, nil
		}
		// Cancelled before it had an execution.
		if err := writeLine(c, contract.BatchResult{Index: next, Status: contract.StatusCanceled}); err != nil {
			return next, err
		}
		next++
	}
	return next, nil
}

// awaitInput waits for news of the execution of an input. It returns false
// when there is nobody to answer any more.
func (s *Server) waitForInput(ctx context.Context, b *batch.Batch, index int) bool {
	notified, unsubscribe := s.watchers.Subscribe(execution.Ref{Tenant: b.Tenant, ID: b.ExecutionID(index)})
	defer unsubscribe()
	select {
	case <-notified:
	case <-time.After(s.pollInterval()):
	case <-s.shutdown:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

func writeLine(c echo.Context, line contract.BatchResult) error {
	data, err := json.Marshal(line, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	_, err = c.Response().Write(append(data, '\n'))
	return err
}

func viewBatchResult(index int, e execution.Execution) contract.BatchResult {
	view := viewExecution(e)
	return contract.BatchResult{
		Index: index, ExecutionId: e.ID, Status: view.Status, Result: view.Result, Error: view.Error, Usage: view.Usage,
	}
}
