package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// process returns another process over the same Firestore, in a session of its own.
func (f fixture) process() (p fixture, session string) {
	p, session = f, id.New("prc_")+".1"
	p.Store = New(f.firestore.Client)
	p.UseSession(func() (string, bool) { return session, true })
	return p, session
}

func (f fixture) letCommitsPass() {
	f.interceptCommits(func(_ context.Context, _ *firestorepb.CommitRequest, commit func() (any, error)) (any, error) {
		return commit()
	})
}

func (f fixture) flush(t *testing.T) {
	t.Helper()
	_, complete, err := f.FlushUsage(t.Context())
	require.NoError(t, err)
	require.True(t, complete)
}

// report returns the total of all that is stored for a tenant, and its groups as text.
func (f fixture) report(t *testing.T, tenant string, by usage.Dimensions) (total usage.Counts, groups []string) {
	t.Helper()
	report := usage.Report{By: by}
	require.NoError(t, f.Usage(t.Context(), tenant, "2000-01-01", "2999-12-31", &report))
	for _, g := range report.Groups() {
		groups = append(groups, strings.Join(strings.Fields(fmt.Sprintf("%s %s %s %s: %d executions, %g USD",
			g.Day, g.AgentID, g.Model, g.Label, g.Executions(), usage.USD(g.CostNanoUSD))), " "))
	}
	return report.Total, groups
}

func (f fixture) submitWithLabels(t *testing.T, tenant, agentID string, labels map[string]string) execution.Ref {
	t.Helper()
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: tenant, AgentID: agentID, Input: "x", Labels: execution.Labels(labels)})
	require.NoError(t, err)
	return ch.Execution.Ref()
}

// The day is that of the end, in UTC and by Firestore's clock.
func TestUsageByDayAgentModelAndLabel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	tomorrow := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	f.clock.Advance(tomorrow.Add(-time.Hour).Sub(now)) // 23:00
	day1, day2 := usage.DayOf(tomorrow.Add(-time.Hour)), usage.DayOf(tomorrow)
	a, b := f.createAgent(t, ada).ID, f.createAgent(t, ada).ID
	if b < a {
		a, b = b, a
	}
	f.end(t, f.submitWithLabels(t, ada, a, map[string]string{"env": "prod", "team": "x"}), 4)
	f.clock.Advance(2 * time.Hour) // 01:00
	f.end(t, f.submitWithLabels(t, ada, a, map[string]string{"env": "prod"}), 0.5)
	f.end(t, f.submitWithLabels(t, ada, b, nil), 0.25)
	f.end(t, f.submitRun(t, bob), 8)
	f.mustApply(t, f.submitWithLabels(t, ada, a, nil), execution.CancelRequested{})

	requireSpent := func() {
		t.Helper()
		spent, err := f.SpentToday(t.Context(), ada)
		require.NoError(t, err)
		require.InDelta(t, 0.75, usage.USD(spent.NanoUSD), 1e-12)
		require.InDelta(t, 23*time.Hour, spent.UntilNextDay, float64(time.Minute))
	}
	requireSpent() // from the process's own bundles
	f.flush(t)
	requireSpent()

	total, groups := f.report(t, ada, usage.Dimensions{Day: true})
	require.Equal(t, []string{day1 + " : 1 executions, 4 USD", day2 + " : 3 executions, 0.75 USD"}, groups)
	require.Equal(t, usage.Counts{Succeeded: 3, Canceled: 1, Attempts: 3, CostNanoUSD: 4_750_000_000}, total)
	_, groups = f.report(t, ada, usage.Dimensions{Agent: true, Model: true})
	require.Equal(t, []string{a + " m : 3 executions, 4.5 USD", b + " m : 1 executions, 0.25 USD"}, groups)
	_, groups = f.report(t, ada, usage.Dimensions{Label: true})
	require.Equal(t, []string{"env=prod: 2 executions, 4.5 USD", "team=x: 1 executions, 4 USD"}, groups)
	_, groups = f.report(t, bob, usage.Dimensions{})
	require.Equal(t, []string{": 1 executions, 8 USD"}, groups)

	f.clock.Advance(24 * time.Hour)
	spent, err := f.SpentToday(t.Context(), ada)
	require.NoError(t, err)
	require.Zero(t, spent.NanoUSD)
}

// The cost of an agent with a daily budget is summed up for itself.
func TestSpentTodayOfAnAgent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: "offline", Timeout: time.Minute, DailyBudget: agent.DailyBudget{USD: 5, SoftUSD: 4}}
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	f.end(t, f.submitWithLabels(t, ada, a.ID, nil), 1.5)
	f.end(t, f.submitRun(t, ada), 2)
	spending, _, err := f.FlushUsage(t.Context())
	require.NoError(t, err)
	require.Len(t, spending, 1)
	require.Equal(t, map[string]agent.DailyBudget{a.ID: a.DailyBudget}, spending[0].Agents)
	f.end(t, f.submitWithLabels(t, ada, a.ID, nil), 0.5) // not flushed
	spent, err := f.SpentToday(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, usage.NanoUSD(2), spent.AgentNanoUSD[a.ID])
	require.Equal(t, usage.NanoUSD(4), spent.NanoUSD)
}

// An agent that has used up its daily budget starts nothing until the next day; other agents do.
func TestAgentWithoutBudgetIsDeferred(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: "offline", Timeout: time.Minute, DailyBudget: agent.DailyBudget{USD: 2}}
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	f.end(t, f.submitWithLabels(t, ada, a.ID, nil), 1.5)
	f.end(t, f.submitWithLabels(t, ada, a.ID, nil), 0.5)
	ref := f.submitWithLabels(t, ada, a.ID, nil)
	_, err := f.Apply(t.Context(), ref, claimIn("prc_x.1", "prc_d"))
	require.ErrorIs(t, err, execution.ErrAgentBudgetUsedUp)
	told := f.sent(t, "prc_d")
	require.Len(t, told, 1, "the dispatcher gives its place to another execution")
	require.Equal(t, execution.Queued, told[0].Change.Status)
	f.mustApply(t, f.submitRun(t, ada), claimEvent)
	spent, err := f.SpentToday(t.Context(), ada)
	require.NoError(t, err)
	e := f.getExecution(t, ref)
	require.Equal(t, execution.Queued, e.Status)
	due := spent.NextDay
	if e.StartDeadline().Before(due) {
		due = e.StartDeadline()
	}
	require.WithinDuration(t, due, *e.Due, time.Millisecond)
	require.WithinDuration(t, spent.NextDay, e.QueuedAt, time.Millisecond)
	f.clock.Advance(spent.UntilNextDay)
	f.mustApply(t, ref, claimEvent)
}

// Whichever answer of Firestore is lost, a flush counts once.
func TestFlushWithLostAnswer(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.end(t, f.submitRun(t, ada), 0.1)
			f.end(t, f.submitRun(t, ada), 0.2)
			commits := f.replaceAnswer(1, code)
			require.Eventually(t, func() bool { _, complete, _ := f.FlushUsage(t.Context()); return complete }, time.Minute, time.Millisecond)
			require.Positive(t, commits())
			f.flush(t)
			total, _ := f.report(t, ada, usage.Dimensions{})
			require.Equal(t, usage.Counts{Succeeded: 2, Attempts: 2, CostNanoUSD: 300_000_000}, total)
		})
	}
}

// The answer to the write of the end is lost: the execution is counted all the same, whether the event is applied again
// or not.
func TestUsageOfAnEndWithLostAnswer(t *testing.T) {
	t.Parallel()
	for _, again := range []bool{false, true} {
		f := newFixture(t)
		ref := f.submitRun(t, ada)
		_, err := f.Apply(f.hangUpDuringCommit(t), ref, execution.CancelRequested{})
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		if again {
			_, err := f.Apply(t.Context(), ref, execution.CancelRequested{})
			require.ErrorIs(t, err, execution.ErrTerminal)
		}
		f.flush(t)
		total, _ := f.report(t, ada, usage.Dimensions{})
		require.EqualValues(t, 1, total.Canceled)
	}
}

// A write of an end that arrives late cannot take effect in a bundle that was flushed.
func TestEndThatArrivesAfterTheFlush(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref, other := f.submitRun(t, ada), f.submitRun(t, ada)
	ctx, hangUp := context.WithCancel(t.Context())
	release, late := make(chan struct{}), make(chan error, 1)
	var held atomic.Bool
	f.interceptCommits(func(_ context.Context, _ *firestorepb.CommitRequest, commit func() (any, error)) (any, error) {
		if !held.CompareAndSwap(false, true) {
			return commit()
		}
		hangUp()
		<-release
		answer, err := commit()
		late <- err
		return answer, err
	})
	_, err := f.Apply(ctx, ref, execution.CancelRequested{})
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	f.mustApply(t, other, execution.CancelRequested{})
	f.flush(t)
	close(release)
	require.Equal(t, codes.FailedPrecondition, status.Code(<-late))
	require.Equal(t, execution.Queued, f.getExecution(t, ref).Status)
	f.mustApply(t, ref, execution.CancelRequested{})
	f.flush(t)
	total, _ := f.report(t, ada, usage.Dimensions{})
	require.EqualValues(t, 2, total.Canceled)
}

// A process dies before it has flushed. Its usage is recovered once, however often the recovery runs and wherever it is
// interrupted.
func TestRecoverUsage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	dead, session := f.process()
	const tenants = 2*maxBundleTenants + 3
	end := func(tenant string, n int) {
		for range n {
			dead.mustApply(t, dead.submitRun(t, tenant), execution.CancelRequested{})
		}
	}
	end("t0", 2)
	dead.flush(t)
	for i := range tenants {
		end(fmt.Sprint("t", i), 1)
	}
	for n := 1; ; n++ { // the n-th commit fails
		var commits int
		f.interceptCommits(func(_ context.Context, _ *firestorepb.CommitRequest, commit func() (any, error)) (any, error) {
			if commits++; commits == n {
				return nil, status.Error(codes.PermissionDenied, "interrupted")
			}
			return commit()
		})
		if err := f.RecoverUsage(t.Context(), session); err == nil {
			require.Greater(t, n, 3, "the seal and several pages")
			break
		}
	}
	f.letCommitsPass()
	require.NoError(t, f.RecoverUsage(t.Context(), session))
	for i := range tenants {
		want := int64(1)
		if i == 0 {
			want = 3
		}
		total, _ := f.report(t, fmt.Sprint("t", i), usage.Dimensions{})
		require.Equal(t, want, total.Canceled, "t%d", i)
	}
}

// A process that was only paused continues after its usage was recovered: what it ended before is not counted again,
// and what it ends afterwards is counted.
func TestFlushAfterRecovery(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	paused, session := f.process()
	paused.mustApply(t, paused.submitRun(t, ada), execution.CancelRequested{})
	require.NoError(t, f.RecoverUsage(t.Context(), session))
	paused.mustApply(t, paused.submitRun(t, ada), execution.CancelRequested{})
	paused.flush(t)
	paused.mustApply(t, paused.submitRun(t, ada), execution.CancelRequested{})
	paused.UseSession(func() (string, bool) { return "prc_new.2", true })
	paused.mustApply(t, paused.submitRun(t, ada), execution.CancelRequested{})
	paused.flush(t)
	paused.flush(t) // forgets the writer of the session before
	require.NoError(t, f.RecoverUsage(t.Context(), session))
	total, _ := f.report(t, ada, usage.Dimensions{})
	require.EqualValues(t, 4, total.Canceled)
	require.Len(t, paused.usage.writers, 1)
}

// A bundle is full when it has as many tenants as one commit may change.
func TestBundlesAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i := range maxBundleTenants + 1 {
		f.mustApply(t, f.submitRun(t, fmt.Sprint("t", i)), execution.CancelRequested{})
	}
	require.Len(t, f.usage.writers[0].bundles, 2)
	<-f.UsageBundleFull()
	f.flush(t)
	require.Empty(t, f.usage.writers[0].bundles)
	require.Empty(t, f.usage.ends)
}

// Several processes end executions at the same time. Answers are lost at random, and processes die. In the end the
// usage is exactly the sum over all executions.
func TestUsageIsTheSumOverExecutions(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test that can be repeated
			var refs []execution.Ref
			costs := map[execution.Ref]float64{}
			agents := map[string][]string{}
			for _, tenant := range []string{ada, bob} {
				agents[tenant] = []string{f.createAgent(t, tenant).ID, f.createAgent(t, tenant).ID}
			}
			for range 40 {
				tenant := []string{ada, bob}[random.IntN(2)]
				labels := map[string]string{"n": fmt.Sprint(random.IntN(3))}
				ref := f.submitWithLabels(t, tenant, agents[tenant][random.IntN(2)], labels)
				refs, costs[ref] = append(refs, ref), random.Float64()
			}
			var mu sync.Mutex
			f.interceptCommits(func(_ context.Context, _ *firestorepb.CommitRequest, commit func() (any, error)) (any, error) {
				mu.Lock()
				dice := random.IntN(20)
				mu.Unlock()
				if dice == 0 {
					return nil, status.Error(codes.Unavailable, "the request was lost")
				}
				answer, err := commit()
				if err == nil && dice <= 3 {
					return nil, status.Error([]codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Unknown}[dice-1], "the answer was lost")
				}
				return answer, err
			})
			var g errgroup.Group
			for worker := range 4 {
				mine := refs[worker*10 : worker*10+10]
				g.Go(func() error {
					p, session := f.process()
					for i, ref := range mine {
						if err := p.endUntilTerminal(t.Context(), ref, costs[ref]); err != nil {
							return err
						}
						if i%4 == 3 {
							_, _, _ = p.FlushUsage(t.Context()) // the next one continues
						}
						if i == 5 { // the process dies, and another one starts
							if err := f.recoverUntilDone(t.Context(), session); err != nil {
								return err
							}
							p, session = f.process()
						}
					}
					if worker%2 == 0 {
						return f.recoverUntilDone(t.Context(), session)
					}
					for {
						if _, complete, _ := p.FlushUsage(t.Context()); complete || t.Context().Err() != nil {
							return t.Context().Err()
						}
					}
				})
			}
			require.NoError(t, g.Wait())
			f.letCommitsPass()
			for _, tenant := range []string{ada, bob} {
				var want usage.Counts
				for _, ref := range refs {
					if ref.Tenant == tenant {
						e := f.getExecution(t, ref)
						want = want.Add(usage.EntryOf(&e).Counts)
					}
				}
				total, _ := f.report(t, tenant, usage.Dimensions{})
				require.Equal(t, want, total)
				total, _ = f.report(t, tenant, usage.Dimensions{Label: true})
				require.Equal(t, want, total, "each execution has one label")
			}
		})
	}
}

func (f fixture) recoverUntilDone(ctx context.Context, session string) error {
	for {
		if err := f.RecoverUsage(ctx, session); err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// endUntilTerminal runs an execution to its end, as an executor does that repeats each event until it has an answer.
func (f fixture) endUntilTerminal(ctx context.Context, ref execution.Ref, costUSD float64) error {
	ending := successEnding("done")
	ending.Usage = execution.Usage{InputTokens: 3, OutputTokens: 4, CostUSD: costUSD}
	for ctx.Err() == nil {
		e, err := f.Execution(ctx, ref)
		if err != nil {
			continue
		}
		var ev execution.Event = claimEvent
		switch {
		case e.Status.Terminal():
			return nil
		case e.Status == execution.Running:
			ev = execution.JobEnded{Attempt: e.Attempt, Ending: ending}
		}
		if _, err := f.Apply(ctx, ref, ev); err != nil && !IsUnavailable(err) && !errors.Is(err, ErrOutcomeUnknown) && !IsRejection(err) {
			return err
		}
	}
	return ctx.Err()
}

func TestBudgetWarningsAreStoredOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.WatchTenant(t.Context(), ada, "prc_a"))
	w := usage.Warning{Tenant: ada, Day: "2026-11-30", Level: usage.Soft, LimitUSD: 4, SpentUSD: 4.5}
	for _, want := range []bool{true, false} {
		created, err := f.CreateBudgetWarning(t.Context(), w, f.clock.Now())
		require.NoError(t, err)
		require.Equal(t, want, created)
	}
	w.AgentID = "agt_1"
	created, err := f.CreateBudgetWarning(t.Context(), w, f.clock.Now())
	require.NoError(t, err)
	require.True(t, created)
	w.Day = "2026-12-01"
	created, err = f.CreateBudgetWarning(t.Context(), w, f.clock.Now())
	require.NoError(t, err)
	require.True(t, created)
	found, err := f.BudgetWarnings(t.Context(), ada, "2026-11-30", "2026-11-30", 10)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.WithinDuration(t, found[0].At, found[1].At, time.Minute)
	require.Len(t, f.sent(t, "prc_a"), 3, "each reaches those who watch the tenant once")
}
