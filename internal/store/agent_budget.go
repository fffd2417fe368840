package store

import (
	"context"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// agentBudgetUsedUp returns when the next day begins if the agent of an execution has used up its daily budget, else a
// zero time. It reads nothing for an agent without one. The budget is the agent's of when the execution was accepted.
func (s *Store) agentBudgetUsedUp(ctx context.Context, e *execution.Execution) (until time.Time, err error) {
	budget := e.Task.DailyBudget
	if budget.USD == 0 {
		return until, nil
	}
	spent, err := s.SpentToday(ctx, e.Tenant)
	if err != nil || spent.AgentNanoUSD[e.AgentID] < usage.NanoUSD(budget.USD) {
		return until, err
	}
	return spent.NextDay, nil
}

// deferExecution lets an execution wait until the next day begins. Its error is execution.ErrAgentBudgetUsedUp then.
func (s *Store) deferExecution(ctx context.Context, ref execution.Ref, until time.Time, err error) (decision, error) {
	if err != nil {
		return decision{}, err
	}
	d, err := s.applyToDocument(ctx, ref, execution.Deferred{Until: until})
	if err == nil {
		err = execution.ErrAgentBudgetUsedUp
	}
	return d, err
}
