package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/usage"
)

// Usage adds the tenant's usage on the days from first to last, both included, to a report. It does not have what is in
// bundles that are not flushed. It reads at most usage.Parts documents for each day. The error is
// usage.ErrTooManyGroups, among others.
func (s *Store) Usage(ctx context.Context, tenant, first, last string, report *usage.Report) error {
	collection := usageParts
	if report.By.Label {
		collection = labelUsageParts
	}
	parts := s.usageOfDays(tenant, collection, first, last).Documents(ctx)
	defer parts.Stop()
	for { // one by one: all of them may not fit into memory
		snap, err := parts.Next()
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return translateError(err)
		}
		var part usage.Part
		if err := snap.DataTo(&part); err != nil {
			return fmt.Errorf("document %s: %w", snap.Ref.Path, err)
		}
		if err := report.Add(&part); err != nil {
			return err
		}
	}
}

func (s *Store) usageOfDays(tenant, collection, first, last string) firestore.Query {
	return s.collection(tenant, collection).Where("day", ">=", first).Where("day", "<=", last)
}

// SpentToday returns what the tenant has spent today. Days are UTC, by Firestore's clock. It reads the sums of the
// tenant's usage, at most usage.Parts documents and the clock, and adds what this process has not flushed. So it lacks
// what runs, and what other processes have not flushed.
func (s *Store) SpentToday(ctx context.Context, tenant string) (spent usage.Spent, err error) {
	now, err := s.Now(ctx)
	if err != nil {
		return spent, err
	}
	day := usage.DayOf(now)
	q := s.collection(tenant, usageParts).Where("day", "==", day).Select("costNanoUsd", "agentCosts")
	parts, err := list[usage.Part](ctx, q)
	if err != nil {
		return spent, err
	}
	spent.Day, spent.UntilNextDay = day, usage.UntilNextDay(now)
	spent.NextDay = now.Add(spent.UntilNextDay)
	spent.NanoUSD, spent.AgentNanoUSD = s.usage.unflushed(tenant, day)
	for _, part := range parts {
		spent.NanoUSD += part.CostNanoUSD
		for agentID, nanos := range part.AgentCosts {
			spent.AgentNanoUSD[agentID] += nanos
		}
	}
	return spent, nil
}

// CreateBudgetWarning stores a warning, and signals a soft limit to the processes that watch the tenant in the same
// commit. It returns false if the tenant has been warned of the same limit on the same day. now is Firestore's time of
// the caller's read of the tenant.
func (s *Store) CreateBudgetWarning(ctx context.Context, w usage.Warning, now time.Time) (created bool, err error) {
	day, err := time.Parse(time.DateOnly, w.Day)
	if err != nil {
		return false, err
	}
	w.Expires = day.Add(usage.Retention)
	name := fmt.Sprintf("%s-%s-%d", w.Day, w.Level, usage.NanoUSD(w.LimitUSD))
	if w.AgentID != "" {
		name = strings.Join([]string{name, w.AgentID}, "-")
	}
	out := s.newOutbox(s.budgetSignals(ctx, &w, now))
	batch := s.newCommit().Create(s.collection(w.Tenant, budgetWarnings).Doc(name), w)
	out.addTo(s, batch)
	_, err = batch.Commit(ctx)
	if status.Code(err) == codes.AlreadyExists {
		return false, nil
	}
	if err == nil {
		out.local.deliver()
	}
	return err == nil, translateCommitError(err)
}

// BudgetWarnings returns the tenant's warnings of the days from first to last, both included, the oldest first, at most
// limit.
func (s *Store) BudgetWarnings(ctx context.Context, tenant, first, last string, limit int) ([]usage.Warning, error) {
	return list[usage.Warning](ctx, s.usageOfDays(tenant, budgetWarnings, first, last).OrderBy("day", firestore.Asc).Limit(limit))
}
