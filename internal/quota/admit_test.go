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
func TestNoMoreWaitThanMay(t *testing.T) {
	t.Parallel()
	w := start(t, Limits{Queued: 20})
	a := w.agent(ada)
	var accepted, refused atomic.Int32
	var g errgroup.Group
	for range 100 {
		g.Go(func() error {
			_, err := w.SubmitRun(t.Context(), store.Run{Owner: ada, AgentID: a.ID, Input: "x"})
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

func TestWhatBeginsMakesRoom(t *testing.T) {
	t.Parallel()
	w := start(t, Limits{Queued: 2})
	refs := w.submit(ada, 2)
	submit := func() error {
		_, err := w.SubmitTurn(t.Context(), store.Turn{Owner: ada, Message: "x"})
		return err
	}
	var full *QueueFullError
	require.ErrorAs(t, submit(), &full)
	require.Equal(t, 2, full.Limit)
	w.claims(refs[0])
	require.Eventually(t, func() bool { return submit() == nil }, patience, doubtful/4, "soon, though it was counted just before")
	require.ErrorAs(t, submit(), &full)

	w.end(refs[0], 0)
	_, err := w.Apply(t.Context(), refs[1], execution.CancelAsked{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := w.Retry(t.Context(), refs[1]); return err == nil }, patience, doubtful/4)
	_, err = w.Retry(t.Context(), refs[1])
	require.ErrorAs(t, err, &full, "a retry waits like any other")
}

// A batch waits outside the queue, but costs like anything else.
func TestTheBudgetOfADay(t *testing.T) {
	t.Parallel()
	w := start(t, Limits{DailyUSD: 1})
	refs := w.submit(ada, 3)
	w.claims(refs[0])
	w.end(refs[0], 0.75)
	w.claims(refs[1])
	w.end(refs[1], 0.5)

	a := w.agent(ada)
	submit := func() error {
		_, err := w.SubmitRun(t.Context(), store.Run{Owner: ada, AgentID: a.ID, Input: "x"})
		return err
	}
	var spent *BudgetSpentError
	require.Eventually(t, func() bool { return errors.As(submit(), &spent) }, patience, doubtful/4)
	require.Positive(t, spent.Rest)
	require.LessOrEqual(t, spent.Rest, 24*time.Hour)
	require.ErrorAs(t, w.SubmitBatch(t.Context(), &batch.Batch{ID: id.New(id.Batch), Owner: ada, AgentID: a.ID}), &spent)
	w.isHeld(refs[2])
	w.submit(bob, 1)

	w.clock.Advance(24 * time.Hour)
	require.Eventually(t, func() bool { return submit() == nil }, patience, doubtful/4, "a new day")
}

func TestWithoutLimitsNothingIsCounted(t *testing.T) {
	t.Parallel()
	w := start(t, Limits{})
	ref := w.submit(ada, 1)[0]
	w.claims(ref)
	w.end(ref, 1000)
	require.Zero(t, w.tallies.Len())
	require.Empty(t, w.freed.News())
}
