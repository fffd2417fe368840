package usagewriter

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

var errIncomplete = errors.New("the outcome of a write is unknown")

// checkBudgets warns the tenants that have spent something since the last check and have reached a limit. A tenant that
// cannot be checked is checked again with the next bundle.
func (w *Writer) checkBudgets(ctx context.Context) error {
	var errs []error
	for name, spending := range w.pending {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		err := w.checkBudget(ctx, spending)
		cancel()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		delete(w.pending, name)
	}
	return errors.Join(errs...)
}

func (w *Writer) checkBudget(ctx context.Context, s usage.Spending) error {
	stored, err := w.config.Store.Tenant(ctx, s.Tenant)
	if err != nil {
		return err
	}
	budget := w.tenantBudget(stored.Settings)
	if budget == (agent.DailyBudget{}) && len(s.Agents) == 0 {
		return nil
	}
	spent, err := w.config.Store.SpentToday(ctx, s.Tenant)
	if err != nil || spent.Day != s.Day {
		return err // the day has ended: its budget stops nothing any more
	}
	warnings := usage.Reached(budget, spent.NanoUSD)
	for agentID, agentBudget := range s.Agents {
		for _, warning := range usage.Reached(agentBudget, spent.AgentNanoUSD[agentID]) {
			warning.AgentID = agentID
			warnings = append(warnings, warning)
		}
	}
	for _, warning := range warnings {
		warning.Tenant, warning.Day = s.Tenant, s.Day
		if err := w.warn(ctx, warning, stored.Now); err != nil {
			return err
		}
	}
	return nil
}

// warn sends a warning, unless it was sent before on the same day. now is Firestore's time.
func (w *Writer) warn(ctx context.Context, warning usage.Warning, now time.Time) error {
	created, err := w.config.Store.CreateBudgetWarning(ctx, warning, now)
	if err != nil || !created {
		return err
	}
	scope := "tenant"
	if warning.AgentID != "" {
		scope = "agent"
	}
	metrics.BudgetWarnings.WithLabelValues(scope, string(warning.Level)).Inc()
	w.config.Log.Warn("a daily budget has reached a limit", zap.String("tenant", warning.Tenant), zap.String("agent", warning.AgentID),
		zap.String("level", string(warning.Level)), zap.Float64("limitUsd", warning.LimitUSD), zap.Float64("spentUsd", warning.SpentUSD))
	return nil
}

// tenantBudget returns the daily budget of a tenant. What the operator has not set for it is the installation's.
func (w *Writer) tenantBudget(s tenant.Settings) agent.DailyBudget {
	limits := s.Limits(w.config.Defaults)
	return agent.DailyBudget{USD: limits.MaxDailyUSD, SoftUSD: limits.MaxDailyUSD * limits.SoftLimit}
}
