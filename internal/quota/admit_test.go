package quota

import (
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/file"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// The process counts only once a second, but also counts what it accepts itself.
func TestQueuedLimitUnderConcurrency(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Queued: 20})
	a := h.createAgent(ada)
	var accepted, rejected atomic.Int32
	var g errgroup.Group
	for range 100 {
		g.Go(func() error {
			_, err := h.SubmitRun(t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
			var full *QueueFullError
			switch {
			case err == nil:
				accepted.Add(1)
			case errors.As(err, &full):
				rejected.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 20, accepted.Load())
	require.EqualValues(t, 80, rejected.Load())
	h.submit(bob, 1) // the limit is per tenant
}

func TestClaimFreesQueueCapacity(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Queued: 2})
	refs := h.submit(ada, 2)
	submit := func() error {
		_, err := h.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, Message: "x"})
		return err
	}
	var full *QueueFullError
	require.ErrorAs(t, submit(), &full)
	require.Equal(t, 2, full.Limit)
	h.requireClaimed(refs[0])
	require.Eventually(t, func() bool { return submit() == nil }, waitTimeout, maxAgeToReject/4, "a full queue is counted again after maxAgeToReject")
	require.ErrorAs(t, submit(), &full)

	h.finish(refs[0], 0)
	_, err := h.store.Apply(t.Context(), refs[1], execution.CancelRequested{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := h.Retry(t.Context(), refs[1], nil); return err == nil }, waitTimeout, maxAgeToReject/4)
	_, err = h.Retry(t.Context(), refs[1], nil)
	require.ErrorAs(t, err, &full, "a retry counts as queued")
}

// The daily budget holds for runs and batches.
func TestDailyBudget(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{DailyUSD: 1})
	refs := h.submit(ada, 2)
	h.requireClaimed(refs[0])
	h.finish(refs[0], 0.75)
	h.requireClaimed(refs[1])
	h.finish(refs[1], 0.5)

	a := h.createAgent(ada)
	submit := func() error {
		_, err := h.SubmitRun(t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
		return err
	}
	var exceeded *DailyBudgetExceededError
	require.Eventually(t, func() bool { return errors.As(submit(), &exceeded) }, waitTimeout, maxAgeToReject/4)
	require.Positive(t, exceeded.RetryAfter)
	require.LessOrEqual(t, exceeded.RetryAfter, 24*time.Hour)
	require.ErrorAs(t, h.SubmitBatch(t.Context(), &batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: a.ID}, nil), &exceeded)
	h.submit(bob, 1)

	h.clock.Advance(24 * time.Hour)
	require.Eventually(t, func() bool { return submit() == nil }, waitTimeout, maxAgeToReject/4, "the next day has a new budget")
}

func TestWithoutLimitsNothingIsCounted(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{})
	ref := h.submit(ada, 1)[0]
	h.requireClaimed(ref)
	h.finish(ref, 1000)
	require.Zero(t, h.usages.Len())
}

// An Enforcer that embedded its store would offer calls that pass by the limits.
func TestEnforcerHasNoUnlimitedCalls(t *testing.T) {
	var names []string
	for method := range reflect.TypeFor[*Enforcer]().Methods() {
		names = append(names, method.Name)
	}
	require.ElementsMatch(t, []string{"SubmitRun", "SubmitTurn", "Retry", "SubmitBatch", "AdmitFile", "Wake", "Run"}, names)
}

// Discarded files count as long as their contents are stored.
func TestAdmitFile(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Files: 3, FileBytes: 100})
	store := func(size int64) string {
		f := file.File{ID: id.New(id.File), Tenant: ada, Name: "a", Content: execution.Content{Size: size}}
		require.NoError(t, h.store.BeginFile(t.Context(), ada, f.ID))
		require.NoError(t, h.store.CreateFile(t.Context(), &f, 0, nil))
		return f.ID
	}
	first := store(60)
	require.NoError(t, h.AdmitFile(t.Context(), ada, 40))
	var full *FileStorageFullError
	require.ErrorAs(t, h.AdmitFile(t.Context(), ada, 41), &full)
	require.Equal(t, &FileStorageFullError{Files: 1, Bytes: 60, Limits: h.limits}, full)
	require.NoError(t, h.store.DeleteFile(t.Context(), ada, first))
	require.ErrorAs(t, h.AdmitFile(t.Context(), ada, 41), &full)
	store(0)
	store(0)
	require.ErrorAs(t, h.AdmitFile(t.Context(), ada, 0), &full, "three files are stored")
	require.NoError(t, h.AdmitFile(t.Context(), "bob", 100))
}
