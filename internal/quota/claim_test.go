package quota

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

func TestRunningLimitReleasesOldestFirst(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Running: 2})
	refs := h.submit(ada, 5)
	h.requireClaimed(refs[0])
	h.requireClaimed(refs[1])
	for _, ref := range []execution.Ref{refs[4], refs[3], refs[2]} {
		h.requireThrottled(ref)
	}
	h.requireClaimed(h.submit(bob, 1)[0]) // the limit is per tenant

	h.finish(refs[1], 0)
	require.Equal(t, refs[2], h.nextReleased(), "the oldest is released first")
	h.requireClaimed(refs[2])
	h.finish(refs[0], 0)
	require.Equal(t, refs[3], h.nextReleased())
	require.Empty(t, h.published, "no more are released than may run")
}

// The janitor publishes a throttled execution again after an interval that doubles up to 15 minutes, so a long queue of
// throttled executions causes little work.
func TestThrottledDueIntervalGrows(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Running: 1})
	refs := h.submit(ada, 2)
	h.requireClaimed(refs[0])
	h.requireThrottled(refs[1])
	var waits []time.Duration
	for range 8 {
		e, err := h.store.Execution(t.Context(), refs[1])
		require.NoError(t, err)
		now, err := h.store.Now(t.Context())
		require.NoError(t, err)
		wait := e.Due.Sub(now)
		waits = append(waits, wait.Round(time.Minute))
		h.clock.Advance(wait + time.Millisecond)
		_, err = h.Apply(t.Context(), refs[1], execution.Overdue{})
		require.NoError(t, err)
		h.requireThrottled(refs[1])
	}
	for i := 1; i < len(waits); i++ {
		require.GreaterOrEqual(t, waits[i], waits[i-1])
	}
	require.Equal(t, 15*time.Minute, waits[7])
}

// Capacity that becomes free while a claim is being throttled is used.
func TestReleaseDuringThrottlingIsNotLost(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Running: 1})
	for range 50 {
		refs := h.submit(ada, 2)
		h.requireClaimed(refs[0])
		claimed := make(chan bool, 1)
		go func() {
			_, err := h.Apply(t.Context(), refs[1], claim)
			claimed <- err == nil
		}()
		h.finish(refs[0], 0)
		if !<-claimed { // it was throttled, so Run must release it
			require.Equal(t, refs[1], h.nextReleased())
			h.requireClaimed(refs[1])
		}
		h.finish(refs[1], 0)
		for len(h.published) > 0 {
			<-h.published
		}
	}
}

// A throttled turn could be released before the turns ahead of it.
func TestTurnOutOfOrderIsNotThrottled(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Running: 1})
	h.requireClaimed(h.submit(ada, 1)[0])
	first, err := h.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, Message: "1"})
	require.NoError(t, err)
	second, err := h.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, ConversationID: first.Execution.ConversationID, Message: "2"})
	require.NoError(t, err)
	_, err = h.Apply(t.Context(), second.Execution.Ref(), claim)
	require.ErrorIs(t, err, store.ErrEarlierTurnPending)
	h.requireThrottled(first.Execution.Ref())
	throttled, err := h.store.OldestThrottled(t.Context(), ada, new(store.Scan), 10)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{first.Execution.Ref()}, throttled)

	_, err = h.Apply(t.Context(), first.Execution.Ref(), execution.CancelRequested{})
	require.NoError(t, err)
	throttled, err = h.store.OldestThrottled(t.Context(), ada, new(store.Scan), 10)
	require.NoError(t, err)
	require.Empty(t, throttled, "an ended execution is not throttled")
}

// An execution that cannot be decoded is passed over, and does not use the capacity of the ones behind it.
func TestReleasePassesOverExecutionThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Running: 1})
	refs := h.submit(ada, 4)
	h.requireClaimed(refs[0])
	for _, ref := range refs[1:] {
		h.requireThrottled(ref)
	}
	for _, bad := range refs[1:3] {
		doc := h.firestore.Client.Doc("tenants/" + bad.Tenant + "/executions/" + bad.ID)
		_, err := doc.Update(t.Context(), []firestore.Update{{Path: "attempt", Value: "not a number"}})
		require.NoError(t, err)
	}
	h.finish(refs[0], 0)
	require.Equal(t, refs[3], h.nextReleased())
}

// Capacity that became free just before an outage is used after it.
func TestReleaseSurvivesStoreOutage(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	published := make(chanPublisher, 10)
	h := &harness{t: t, store: store.New(f.Client)}
	h.Enforcer = New(Config{Store: h.store, Limits: Limits{Running: 1}, Publisher: published, Log: zaptest.NewLogger(t)})
	refs := h.submit(ada, 2)
	h.requireClaimed(refs[0])
	h.requireThrottled(refs[1])
	h.finish(refs[0], 0)

	f.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, h.releasePending(ctx), store.ErrUnavailable)
	f.Start()
	require.NoError(t, h.releasePending(t.Context()))
	require.Equal(t, refs[1], <-published)
}

// An executor finishes its last jobs while it shuts down. The executions that may run because of that are released at
// once, not by the janitor.
func TestReleaseOnShutdown(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	published := make(chanPublisher, 10)
	h := &harness{t: t, store: store.New(f.Client)}
	h.Enforcer = New(Config{Store: h.store, Limits: Limits{Running: 1}, Publisher: published, Log: zaptest.NewLogger(t)})
	refs := h.submit(ada, 2)
	h.requireClaimed(refs[0])
	h.requireThrottled(refs[1])
	h.finish(refs[0], 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, h.Run(ctx))
	require.Equal(t, refs[1], <-published)
}
