package quota

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// However many ask one process at once, it accepts as many as may wait, though
// it counts but now and then.
func TestQueuedLimitUnderConcurrency(t *testing.T) {
	t.Parallel()
	w := newHarness(t, Limits{Queued: 20})
	a := w.createAgent(ada)
	var accepted, refused atomic.Int32
	var g errgroup.Group
	for range 100 {
		g.Go(func() error {
			_, err := w.SubmitRun(t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
			var full *QueueFullError
			switch {
			case err == nil:
				accepted.Add(1)
			case errors.As(err, &full):
				refused.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 20, accepted.Load())
	require.EqualValues(t, 80, refused.Load())
	w.submit(bob, 1) // another tenant is not concerned
}

func TestClaimFreesQueueCapacity(t *testing.T) {
	t.Parallel()
	w := newHarness(t, Limits{Queued: 2})
	refs := w.submit(ada, 2)
	submit := func() error {
		_, err := w.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, Message: "x"})
		return err
	}
	var full *QueueFullError
	require.ErrorAs(t, submit(), &full)
	require.Equal(t, 2, full.Limit)
	w.requireClaimed(refs[0])
	require.Eventually(t, func() bool { return submit() == nil }, waitTimeout, maxAgeToReject/4, "soon, though it was counted just before")
	require.ErrorAs(t, submit(), &full)

	w.finish(refs[0], 0)
	_, err := w.Apply(t.Context(), refs[1], execution.CancelRequested{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := w.Retry(t.Context(), refs[1]); return err == nil }, waitTimeout, maxAgeToReject/4)
	_, err = w.Retry(t.Context(), refs[1])
	require.ErrorAs(t, err, &full, "a retry waits like any other")
}

// A batch waits outside the queue, but costs like anything else.
func TestDailyBudget(t *testing.T) {
	t.Parallel()
	w := newHarness(t, Limits{DailyUSD: 1})
	refs := w.submit(ada, 3)
	w.requireClaimed(refs[0])
	w.finish(refs[0], 0.75)
	w.requireClaimed(refs[1])
	w.finish(refs[1], 0.5)

	a := w.createAgent(ada)
	submit := func() error {
		_, err := w.SubmitRun(t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
		return err
	}
	var exceeded *DailyBudgetExceededError
	require.Eventually(t, func() bool { return errors.As(submit(), &exceeded) }, waitTimeout, maxAgeToReject/4)
	require.Positive(t, exceeded.RetryAfter)
	require.LessOrEqual(t, exceeded.RetryAfter, 24*time.Hour)
	require.ErrorAs(t, w.SubmitBatch(t.Context(), &batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: a.ID}), &exceeded)
	w.requireThrottled(refs[2])
	w.submit(bob, 1)

	w.clock.Advance(24 * time.Hour)
	require.Eventually(t, func() bool { return submit() == nil }, waitTimeout, maxAgeToReject/4, "a new day")
}

func TestNoCountingWithoutLimits(t *testing.T) {
	t.Parallel()
	w := newHarness(t, Limits{})
	ref := w.submit(ada, 1)[0]
	w.requireClaimed(ref)
	w.finish(ref, 1000)
	require.Zero(t, w.usages.Len())
	require.Empty(t, w.pendingReleases.Ready())
}
