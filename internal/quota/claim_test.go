package quota

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

func TestRunningLimitReleasesOldestFirst(t *testing.T) {
	t.Parallel()
	w := newHarness(t, Limits{Running: 2})
	refs := w.submit(ada, 5)
	w.requireClaimed(refs[0])
	w.requireClaimed(refs[1])
	for _, ref := range []execution.Ref{refs[4], refs[3], refs[2]} {
		w.requireThrottled(ref)
	}
	w.requireClaimed(w.submit(bob, 1)[0]) // another tenant is not concerned

	w.finish(refs[1], 0)
	require.Equal(t, refs[2], w.nextReleased(), "the oldest")
	w.requireClaimed(refs[2])
	w.finish(refs[0], 0)
	require.Equal(t, refs[3], w.nextReleased())
	require.Empty(t, w.published, "as many as there is room for")
}

// Ten thousand that are held cost nothing but their place: each is announced
// by the janitor after twice the time, and not in a loop.
func TestThrottledDueIntervalGrows(t *testing.T) {
	t.Parallel()
	w := newHarness(t, Limits{Running: 1})
	refs := w.submit(ada, 2)
	w.requireClaimed(refs[0])
	w.requireThrottled(refs[1])
	var waits []time.Duration
	for range 8 {
		e, err := w.Execution(t.Context(), refs[1])
		require.NoError(t, err)
		now, err := w.Now(t.Context())
		require.NoError(t, err)
		wait := e.Due.Sub(now)
		waits = append(waits, wait.Round(time.Minute))
		w.clock.Advance(wait + time.Millisecond)
		_, err = w.Apply(t.Context(), refs[1], execution.Expired{})
		require.NoError(t, err)
		w.requireThrottled(refs[1])
	}
	for i := 1; i < len(waits); i++ {
		require.GreaterOrEqual(t, waits[i], waits[i-1])
	}
	require.Equal(t, 15*time.Minute, waits[7])
}

// A place that becomes free while an execution is being held is not missed.
func TestReleaseDuringThrottlingIsNotLost(t *testing.T) {
	t.Parallel()
	w := newHarness(t, Limits{Running: 1})
	for range 50 {
		refs := w.submit(ada, 2)
		w.requireClaimed(refs[0])
		claimed := make(chan bool, 1)
		go func() {
			_, err := w.Apply(t.Context(), refs[1], claim)
			claimed <- err == nil
		}()
		w.finish(refs[0], 0)
		if !<-claimed { // then somebody has to announce it
			require.Equal(t, refs[1], w.nextReleased())
			w.requireClaimed(refs[1])
		}
		w.finish(refs[1], 0)
		for len(w.published) > 0 {
			<-w.published
		}
	}
}

// A turn that may not run yet is not held: it could be released before its turn.
func TestTurnOutOfOrderIsNotThrottled(t *testing.T) {
	t.Parallel()
	w := newHarness(t, Limits{Running: 1})
	w.requireClaimed(w.submit(ada, 1)[0])
	first, err := w.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, Message: "1"})
	require.NoError(t, err)
	second, err := w.SubmitTurn(t.Context(), store.TurnRequest{Tenant: ada, ConversationID: first.Execution.ConversationID, Message: "2"})
	require.NoError(t, err)
	_, err = w.Apply(t.Context(), second.Execution.Ref(), claim)
	require.ErrorIs(t, err, store.ErrEarlierTurnPending)
	w.requireThrottled(first.Execution.Ref())
	throttled, err := w.OldestThrottled(t.Context(), ada, 10)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{first.Execution.Ref()}, throttled)

	_, err = w.Apply(t.Context(), first.Execution.Ref(), execution.CancelRequested{})
	require.NoError(t, err)
	throttled, err = w.OldestThrottled(t.Context(), ada, 10)
	require.NoError(t, err)
	require.Empty(t, throttled, "what has ended is not held")
}

// A place that became free just before an outage is found once it is over.
func TestReleaseSurvivesStoreOutage(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	published := make(chanPublisher, 10)
	w := &harness{t: t, Enforcer: New(store.New(f.Client), Limits{Running: 1}, published, zaptest.NewLogger(t))}
	refs := w.submit(ada, 2)
	w.requireClaimed(refs[0])
	w.requireThrottled(refs[1])
	w.finish(refs[0], 0)

	f.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, w.releasePending(ctx), store.ErrUnavailable)
	f.Start()
	require.NoError(t, w.releasePending(t.Context()))
	require.Equal(t, refs[1], <-published)
}

// An executor that stops ends its last jobs while it does; what they make room
// for does not wait for the janitor.
func TestReleaseOnShutdown(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	published := make(chanPublisher, 10)
	w := &harness{t: t, Enforcer: New(store.New(f.Client), Limits{Running: 1}, published, zaptest.NewLogger(t))}
	refs := w.submit(ada, 2)
	w.requireClaimed(refs[0])
	w.requireThrottled(refs[1])
	w.finish(refs[0], 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, w.Run(ctx))
	require.Equal(t, refs[1], <-published)
}
