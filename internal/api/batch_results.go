package api

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// resultsPageSize is how many results are read, and are in memory, at the same time.
const resultsPageSize = 50

// GetBatchResults streams the results of a batch in the order of its inputs. With follow it waits for the others.
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
		return invalidField("after", "must be the index of an input of the batch")
	}
	c.Response().Header().Set(echo.HeaderContentType, mediaTypeJSONLines)
	c.Response().WriteHeader(http.StatusOK)
	if !params.Follow {
		_, err = s.writeResults(ctx, c, &b, next)
		return err
	}
	for next < b.Total {
		written, err := s.writeOrWait(ctx, c, &b, next)
		if err != nil {
			if endsQuietly(c, err) {
				return nil
			}
			return err
		}
		if written > next {
			next = written
			continue
		}
		if b, _, err = s.readBatch(ctx, c, batchID); err != nil {
			return err
		}
	}
	return nil
}

// writeOrWait writes the results from input next on, like writeResults. If there is none, it waits until the execution
// of that input may have changed; its errors are those of waitForChange.
func (s *Server) writeOrWait(ctx context.Context, c echo.Context, b *batch.Batch, next int) (written int, err error) {
	ref := execution.Ref{Tenant: b.Tenant, ID: b.ExecutionID(next)}
	notified, unsubscribe := s.watchers.Subscribe(ref) // before the read, so that no change is missed
	defer unsubscribe()
	written, err = s.writeResults(ctx, c, b, next)
	if err != nil || written > next {
		return written, err
	}
	c.Response().Flush()
	watcher := s.newWatcher(store.WatchEnds)
	for {
		interval := s.pollInterval() // the input may not have an execution yet
		e, version, err := s.readExecution(ctx, ref)
		if err == nil {
			if e.Status.Terminal() {
				return next, nil
			}
			read := versionOf(&e, version)
			interval = watcher.next(ctx, &read)
		}
		if interval == 0 {
			continue
		}
		return next, s.waitForChange(c, notified, interval)
	}
}

// writeResults writes the results from input next on, up to the first unfinished one, and returns the index of that
// one.
func (s *Server) writeResults(ctx context.Context, c echo.Context, b *batch.Batch, next int) (int, error) {
	for next < b.Total {
		if err := s.reauthenticate(c); err != nil { // the client may have taken long to read the page before
			return next, err
		}
		page, err := s.stores.Batches.BatchExecutions(ctx, b, next, resultsPageSize)
		if err != nil {
			return next, err
		}
		if len(page) == 0 && b.FinishedAt == nil {
			return next, nil
		}
		if len(page) == 0 { // the batch was canceled before the input had an execution
			if err := writeLine(c, contract.BatchResult{Index: next, Status: contract.BatchResultStatusCanceled}); err != nil {
				return next, err
			}
			next++
		}
		for _, e := range page {
			if e != nil && !e.Status.Terminal() {
				return next, nil
			}
			if err := writeLine(c, viewBatchResult(next, e)); err != nil {
				return next, err
			}
			next++
		}
	}
	return next, nil
}

func writeLine(c echo.Context, line contract.BatchResult) error {
	data, err := json.Marshal(line, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	_, err = c.Response().Write(append(data, '\n'))
	return err
}

// viewBatchResult shows a finished execution; nil is a missing one.
func viewBatchResult(index int, e *execution.Execution) contract.BatchResult {
	if e == nil {
		return contract.BatchResult{Index: index, Status: contract.BatchResultStatusMissing}
	}
	view := viewExecution(*e)
	return contract.BatchResult{
		Index: index, ExecutionId: e.ID, Status: contract.BatchResultStatus(view.Status),
		Result: view.Result, Error: view.Error, Usage: view.Usage,
	}
}
