package api

import (
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// RetryExecution accepts a new execution that repeats one which did not succeed.
func (s *Server) RetryExecution(c echo.Context, executionID contract.ID, _ contract.RetryExecutionParams) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	e, err := s.store.Execution(ctx, ref)
	if err != nil {
		return err
	}
	if err := s.checkRules("input", e.Task.Input); err != nil { // a rule may be younger than the execution
		return err
	}
	ch, err := s.store.Retry(ctx, ref)
	if err != nil {
		return err
	}
	return s.respondAccepted(c, ch)
}
