package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// UsageStore has the usage of tenants. Both ends of a range of days are included. Usage adds to the report; its error
// may be usage.ErrTooManyGroups.
type UsageStore interface {
	Usage(ctx context.Context, tenant, first, last string, report *usage.Report) error
	BudgetWarnings(ctx context.Context, tenant, first, last string, limit int) ([]usage.Warning, error)
}

const (
	defaultUsageDays  = 30
	maxUsageDays      = 92
	maxBudgetWarnings = 1000 // the contract has the same number
)

// GetUsage sums up what the tenant's executions have used. It reads sums, and no execution.
func (s *Server) GetUsage(c echo.Context, params contract.GetUsageParams) error {
	ctx, cancel := storeContext(c)
	defer cancel()
	by, err := parseDimensions(params.GroupBy)
	if err != nil {
		return err
	}
	first, last, err := s.usageDays(ctx, params)
	if err != nil {
		return err
	}
	report := usage.Report{By: by}
	if err := s.stores.Usage.Usage(ctx, tenantID(c), first, last, &report); err != nil {
		if errors.Is(err, usage.ErrTooManyGroups) {
			return invalidField("groupBy", fmt.Sprintf("gives more than %d rows; ask for fewer days or dimensions", usage.MaxGroups))
		}
		return err
	}
	total := report.Total
	if by.Label { // whose rows do not add up to it
		var all usage.Report
		if err := s.stores.Usage.Usage(ctx, tenantID(c), first, last, &all); err != nil {
			return err
		}
		total = all.Total
	}
	warnings, err := s.stores.Usage.BudgetWarnings(ctx, tenantID(c), first, last, maxBudgetWarnings)
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.UsageReport{
		From: first, To: last, Total: viewCounts(total),
		Rows: viewAll(report.Groups(), viewUsageRow), Warnings: viewAll(warnings, viewBudgetWarning),
	})
}

// parseDimensions reads names with commas between them.
func parseDimensions(text string) (by usage.Dimensions, err error) {
	if text == "" {
		return usage.Dimensions{Day: true}, nil
	}
	dimensions := map[string]*bool{
		"day": &by.Day, "agent": &by.Agent, "model": &by.Model, "kind": &by.Kind, "lane": &by.Lane, "label": &by.Label,
	}
	names := strings.Split(text, ",")
	for _, name := range names {
		d, ok := dimensions[name]
		if !ok || *d {
			return by, invalidField("groupBy", "must have each dimension at most once, of day, agent, model, kind, lane, label")
		}
		*d = true
	}
	if by.Label && slices.ContainsFunc(names, func(name string) bool { return name != "label" && name != "day" }) {
		return by, invalidField("groupBy", "can combine label with day only")
	}
	return by, nil
}

// usageDays returns the first and the last day of a report.
func (s *Server) usageDays(ctx context.Context, params contract.GetUsageParams) (first, last string, err error) {
	var end time.Time
	if params.To != "" {
		end, err = time.Parse(time.DateOnly, params.To)
		if err != nil {
			return "", "", invalidField("to", "must be a day such as 2026-11-30")
		}
	} else if end, err = s.stores.Clock.Now(ctx); err != nil {
		return "", "", err
	}
	end = end.UTC().Truncate(24 * time.Hour)
	start := end.AddDate(0, 0, 1-defaultUsageDays)
	if params.From != "" {
		if start, err = time.Parse(time.DateOnly, params.From); err != nil {
			return "", "", invalidField("from", "must be a day such as 2026-11-01")
		}
	}
	switch days := int(end.Sub(start)/(24*time.Hour)) + 1; {
	case days < 1:
		return "", "", invalidField("from", "must not be after to")
	case days > maxUsageDays:
		return "", "", invalidField("from", fmt.Sprintf("must be at most %d days before to", maxUsageDays-1))
	}
	return usage.DayOf(start), usage.DayOf(end), nil
}

func viewCounts(c usage.Counts) contract.UsageCounts {
	return contract.UsageCounts{
		Executions: c.Executions(), Succeeded: c.Succeeded, Failed: c.Failed, TimedOut: c.TimedOut, Canceled: c.Canceled,
		Attempts: c.Attempts, InputTokens: c.InputTokens, OutputTokens: c.OutputTokens, CostUsd: usage.USD(c.CostNanoUSD),
	}
}

func viewUsageRow(g usage.Group) contract.UsageRow {
	return contract.UsageRow{
		Day: g.Day, AgentId: g.AgentID, Model: g.Model, Kind: contract.Kind(g.Kind), Lane: string(g.Lane), Label: string(g.Label),
		Counts: viewCounts(g.Counts),
	}
}

func viewBudgetWarning(w usage.Warning) contract.BudgetWarning {
	return contract.BudgetWarning{
		Day: w.Day, Level: contract.BudgetLevel(w.Level), AgentId: w.AgentID, LimitUsd: w.LimitUSD, SpentUsd: w.SpentUSD, At: w.At,
	}
}
