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

func TestNoMoreRunThanMayAndTheOldestIsNext(t *testing.T) {
	t.Parallel()
	w := start(t, Limits{Running: 2})
	refs := w.submit(ada, 5)
	w.claims(refs[0])
	w.claims(refs[1])
	for _, ref := range []execution.Ref{refs[4], refs[3], refs[2]} {
		w.isHeld(ref)
	}
	w.claims(w.submit(bob, 1)[0]) // another tenant is not concerned

	w.end(refs[1], 0)
	require.Equal(t, refs[2], w.released(), "the oldest")
	w.claims(refs[2])
	w.end(refs[0], 0)
	require.Equal(t, refs[3], w.released())
	require.Empty(t, w.rung, "as many as there is room for")
}

// Ten thousand that are held cost nothing but their place: each is announced
// by the janitor after twice the time, and not in a loop.
func TestWhatIsHeldIsDueLaterAndLater(t *testing.T) {
	t.Parallel()
	w := start(t, Limits{Running: 1})
	refs := w.submit(ada, 2)
	w.claims(refs[0])
	w.isHeld(refs[1])
	var waits []time.Duration
	for range 8 {
		e, err := w.Execution(t.Context(), refs[1])
		require.NoError(t, err)
		now, err := w.Now(t.Context())
		require.NoError(t, err)
		wait := e.Due.Sub(now)
		waits = append(waits, wait.Round(time.Minute))
		w.clock.Advance(wait + time.Millisecond)
		_, err = w.Apply(t.Context(), refs[1], execution.FellDue{})
		require.NoError(t, err)
		w.isHeld(refs[1])
	}
	for i := 1; i < len(waits); i++ {
		require.GreaterOrEqual(t, waits[i], waits[i-1])
	}
	require.Equal(t, 15*time.Minute, waits[7])
}

// A place that becomes free while an execution is being held is not missed.
func TestAnEndDuringTheHoldingIsNotMissed(t *testing.T) {
	t.Parallel()
	w := start(t, Limits{Running: 1})
	for range 50 {
		refs := w.submit(ada, 2)
		w.claims(refs[0])
		claimed := make(chan bool, 1)
		go func() {
			_, err := w.Apply(t.Context(), refs[1], claim)
			claimed <- err == nil
		}()
		w.end(refs[0], 0)
		if !<-claimed { // then somebody has to announce it
			require.Equal(t, refs[1], w.released())
			w.claims(refs[1])
		}
		w.end(refs[1], 0)
		for len(w.rung) > 0 {
			<-w.rung
		}
	}
}

// A turn that may not run yet is not held: it could be released before its turn.
func TestATurnOutOfTurnIsNotHeld(t *testing.T) {
	t.Parallel()
	w := start(t, Limits{Running: 1})
	w.claims(w.submit(ada, 1)[0])
	first, err := w.SubmitTurn(t.Context(), store.Turn{Owner: ada, Message: "1"})
	require.NoError(t, err)
	second, err := w.SubmitTurn(t.Context(), store.Turn{Owner: ada, ConversationID: first.Execution.ConversationID, Message: "2"})
	require.NoError(t, err)
	_, err = w.Apply(t.Context(), second.Execution.Ref(), claim)
	require.ErrorIs(t, err, store.ErrNotItsTurn)
	w.isHeld(first.Execution.Ref())
	held, err := w.OldestHeld(t.Context(), ada, 10)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{first.Execution.Ref()}, held)

	_, err = w.Apply(t.Context(), first.Execution.Ref(), execution.CancelAsked{})
	require.NoError(t, err)
	held, err = w.OldestHeld(t.Context(), ada, 10)
	require.NoError(t, err)
	require.Empty(t, held, "what has ended is not held")
}

// A place that became free just before an outage is found once it is over.
func TestAPlaceThatBecomesFreeOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	rung := make(belfry, 10)
	w := &world{t: t, Store: New(store.New(f.Client), Limits{Running: 1}, rung, zaptest.NewLogger(t))}
	refs := w.submit(ada, 2)
	w.claims(refs[0])
	w.isHeld(refs[1])
	w.end(refs[0], 0)

	f.Away()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, w.look(ctx), store.ErrUnavailable)
	f.Back()
	require.NoError(t, w.look(t.Context()))
	require.Equal(t, refs[1], <-rung)
}

// An executor that stops ends its last jobs while it does; what they make room
// for does not wait for the janitor.
func TestAPlaceThatBecomesFreeAtTheEndIsGivenOn(t *testing.T) {
	t.Parallel()
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	rung := make(belfry, 10)
	w := &world{t: t, Store: New(store.New(f.Client), Limits{Running: 1}, rung, zaptest.NewLogger(t))}
	refs := w.submit(ada, 2)
	w.claims(refs[0])
	w.isHeld(refs[1])
	w.end(refs[0], 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, w.Run(ctx))
	require.Equal(t, refs[1], <-rung)
}
