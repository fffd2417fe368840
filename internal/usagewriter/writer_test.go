package usagewriter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
	"github.com/airlock-run/airlock/internal/usagewriter"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const ada = "ada"

// faultyStore is a real store whose first checks of a budget fail.
type faultyStore struct {
	*store.Store
	failures atomic.Int32
}

func (s *faultyStore) SpentToday(ctx context.Context, name string) (usage.Spent, error) {
	if s.failures.Add(-1) >= 0 {
		return usage.Spent{}, errors.New("no answer")
	}
	return s.Store.SpentToday(ctx, name)
}

// fixture is a writer whose bundles a test writes by stopping it.
type fixture struct {
	t     *testing.T
	store *faultyStore
	fire  *emulatortest.Firestore
	logs  *observer.ObservedLogs
	log   *zap.Logger
}

func newFixture(t *testing.T) *fixture {
	core, logs := observer.New(zap.WarnLevel)
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	return &fixture{t: t, store: &faultyStore{Store: store.New(f.Client)}, fire: f, logs: logs, log: zap.New(core)}
}

// write lets a writer write what has been spent.
func (f *fixture) write(dailyUSD, softLimit float64) {
	defaults := tenant.Limits{MaxDailyUSD: dailyUSD, SoftLimit: softLimit}
	usagewriter.Start(f.t.Context(), usagewriter.Config{Store: f.store, Defaults: defaults, Log: f.log})()
}

func (f *fixture) createAgent(budget agent.DailyBudget) string {
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: "offline", Timeout: time.Minute, DailyBudget: budget}
	require.NoError(f.t, f.store.CreateAgent(f.t.Context(), &a, nil))
	return a.ID
}

// spend runs an execution to its end.
func (f *fixture) spend(agentID string, usd float64) {
	ctx := f.t.Context()
	ch, err := f.store.SubmitRun(ctx, store.RunRequest{Tenant: ada, AgentID: agentID, Input: "x"})
	require.NoError(f.t, err)
	_, err = f.store.Apply(ctx, ch.Execution.Ref(), execution.Claimed{Executor: "x1"})
	require.NoError(f.t, err)
	ending := execution.Ending{Status: execution.Succeeded, Usage: execution.Usage{CostUSD: usd}}
	_, err = f.store.Apply(ctx, ch.Execution.Ref(), execution.JobEnded{Attempt: 1, Ending: ending})
	require.NoError(f.t, err)
}

func (f *fixture) warnings() (texts []string) {
	now, err := f.store.Now(f.t.Context())
	require.NoError(f.t, err)
	found, err := f.store.BudgetWarnings(f.t.Context(), ada, usage.DayOf(now.Add(-24*time.Hour)), usage.DayOf(now), 100)
	require.NoError(f.t, err)
	for _, w := range found {
		texts = append(texts, fmt.Sprintf("%s %s %g of %g", w.AgentID, w.Level, w.SpentUSD, w.LimitUSD))
	}
	return texts
}

// The soft limit warns before the hard one is reached, and each only once.
func TestTenantIsWarned(t *testing.T) {
	f := newFixture(t)
	before := testutil.ToFloat64(metrics.BudgetWarnings.WithLabelValues("tenant", "soft"))
	a := f.createAgent(agent.DailyBudget{})
	f.spend(a, 7)
	f.write(10, 0.8)
	require.Empty(t, f.warnings())
	f.spend(a, 1.5)
	f.store.failures.Store(2) // the check is repeated
	f.write(10, 0.8)
	require.Equal(t, []string{" soft 8.5 of 8"}, f.warnings())
	f.spend(a, 0.5)
	f.write(10, 0.8)
	f.spend(a, 2)
	f.write(10, 0.8)
	f.spend(a, 2)
	f.write(10, 0.8)
	require.ElementsMatch(t, []string{" soft 8.5 of 8", " hard 11 of 10"}, f.warnings())
	require.InDelta(t, before+1, testutil.ToFloat64(metrics.BudgetWarnings.WithLabelValues("tenant", "soft")), 0)
	require.Equal(t, 2, f.logs.FilterMessage("a daily budget has reached a limit").Len())
}

// What the operator has set for a tenant replaces what the installation has.
func TestSettingsOfTheTenant(t *testing.T) {
	f := newFixture(t)
	limit := 4.0
	_, err := f.fire.Client.Collection("tenants").Doc(ada).Set(t.Context(), tenant.Tenant{
		Settings: tenant.Settings{MaxDailyUSD: &limit, SoftLimit: 0.5},
	})
	require.NoError(t, err)
	f.spend(f.createAgent(agent.DailyBudget{}), 3)
	f.write(0, 0.8)
	require.Equal(t, []string{" soft 3 of 2"}, f.warnings())
}

// An agent with a daily budget is counted for itself.
func TestAgentIsWarned(t *testing.T) {
	f := newFixture(t)
	a, b := f.createAgent(agent.DailyBudget{USD: 5, SoftUSD: 4}), f.createAgent(agent.DailyBudget{USD: 5})
	f.spend(a, 4.5)
	f.spend(b, 4.5)
	f.write(0, 0.8)
	require.Equal(t, []string{a + " soft 4.5 of 4"}, f.warnings())
}

// largeFleet is the fleet of 1,000 executors.
type largeFleet struct{ asked atomic.Int32 }

func (l *largeFleet) Fleet(context.Context, time.Duration) (fleet.Fleet, error) {
	l.asked.Add(1)
	return fleet.Fleet{Executors: 1000}, nil
}

// The size of the fleet is read only when something is written.
func TestIdleWriterDoesNotReadTheFleet(t *testing.T) {
	f := newFixture(t)
	large := new(largeFleet)
	start := func() { usagewriter.Start(t.Context(), usagewriter.Config{Store: f.store, Fleet: large, Log: f.log})() }
	start()
	require.Zero(t, large.asked.Load())
	f.spend(f.createAgent(agent.DailyBudget{}), 0)
	start()
	require.EqualValues(t, 1, large.asked.Load())
}

func TestIntervalGrowsWithTheFleet(t *testing.T) {
	require.Equal(t, usagewriter.MinInterval, usagewriter.Interval(1))
	for _, n := range []int{200, 1000} {
		perDocument := float64(n) / usage.Parts / usagewriter.Interval(n).Seconds()
		require.LessOrEqual(t, perDocument, 1.3, "writes per second of one document with %d processes", n)
	}
}

// A full bundle is written before its time.
func TestFullBundleIsWrittenAtOnce(t *testing.T) {
	f := newFixture(t)
	stop := usagewriter.Start(t.Context(), usagewriter.Config{Store: f.store, Log: f.log})
	defer stop()
	var names []string
	for i := range 40 {
		name := fmt.Sprint("t", i)
		names = append(names, name)
		a := agent.Agent{Tenant: name, Name: "A", Runtime: "offline", Timeout: time.Minute}
		require.NoError(t, f.store.CreateAgent(t.Context(), &a, nil))
		ch, err := f.store.SubmitRun(t.Context(), store.RunRequest{Tenant: name, AgentID: a.ID, Input: "x"})
		require.NoError(t, err)
		_, err = f.store.Apply(t.Context(), ch.Execution.Ref(), execution.CancelRequested{})
		require.NoError(t, err)
	}
	deadline := time.Now().Add(usagewriter.MinInterval / 2)
	require.Eventually(t, func() bool {
		var report usage.Report
		require.NoError(t, f.store.Usage(t.Context(), names[0], "2000-01-01", "2999-01-01", &report))
		return report.Total.Canceled == 1
	}, time.Until(deadline), 10*time.Millisecond)
}

// docs/api.md says for how long attempts still begin after a daily budget is used up.
func TestDocumentedDelayOfBudgets(t *testing.T) {
	text, err := os.ReadFile("../../docs/api.md")
	require.NoError(t, err)
	seconds := int(usagewriter.MinInterval.Seconds())
	require.Contains(t, strings.Join(strings.Fields(string(text)), " "), fmt.Sprintf(
		"attempts still begin for up to %d s after the budget is used up: in a fleet of n > %d processes for n/%d s,",
		seconds, seconds*usage.Parts, usage.Parts))
}
