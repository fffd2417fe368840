package api

import (
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ListAttempts lists the attempts of an execution.
func (s *Server) ListAttempts(c echo.Context, executionID contract.ID) error {
	e, err := s.readRequestedExecution(c, executionID)
	if err != nil {
		return err
	}
	attempts, omitted := e.AttemptHistory()
	return respondWithETag(c, contract.AttemptList{Attempts: viewAll(attempts, viewAttempt), Omitted: omitted})
}

func viewAttempt(a execution.Attempt) contract.Attempt {
	v := contract.Attempt{
		Number: a.Number, Executor: a.Executor, Session: a.Session, ClaimedAt: a.ClaimedAt, EndedAt: orZero(a.EndedAt),
		Outcome: contract.AttemptOutcome(a.Outcome), Code: contract.FailureCode(a.Code), Detail: a.Detail, Usage: viewUsage(a.Usage),
	}
	if a.StartDelay > 0 {
		v.StartedAt = a.ClaimedAt.Add(a.StartDelay)
	}
	return v
}
