package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// exhaust has an execution fail for want of Airlock's own parts.
func (f fixture) exhaust(t *testing.T, ref execution.Ref) {
	t.Helper()
	for attempt := 1; attempt <= execution.DefaultMaxAttempts; attempt++ {
		f.applied(t, ref, claim)
		f.applied(t, ref, execution.Broke{Attempt: attempt})
	}
}

func TestWhatFailedIsFoundByItsReason(t *testing.T) {
	t.Parallel()
	f := start(t)
	old, adas, bobs, other := f.run(t, ada), f.run(t, ada), f.run(t, bob), f.run(t, ada)
	f.exhaust(t, old)
	f.clock.Advance(2 * time.Hour)
	f.exhaust(t, adas)
	f.exhaust(t, bobs)
	f.applied(t, other, claim)
	f.applied(t, other, failed(1))
	found, err := f.FailedWith(t.Context(), []execution.Code{execution.CodeAttemptsExhausted, execution.CodeDeadLettered}, time.Hour)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{adas, bobs}, found)
	found, err = f.FailedWith(t.Context(), []execution.Code{execution.CodeAttemptsExhausted}, 3*time.Hour)
	require.NoError(t, err)
	require.Equal(t, []execution.Ref{old, adas, bobs}, found)
}

func TestDrivingAgainTwiceDoublesNothing(t *testing.T) {
	t.Parallel()
	f := start(t)
	run := f.run(t, ada)
	turn := f.turn(t, "", "hello")
	f.exhaust(t, run)
	f.exhaust(t, turn.Ref())
	for _, ref := range []execution.Ref{run, turn.Ref()} {
		ch, err := f.Redrive(t.Context(), ref)
		require.NoError(t, err)
		require.Equal(t, ref.ID, f.stored(t, ch.Execution.Ref()).RetryOf)
		require.Equal(t, []execution.Ref{ch.Execution.Ref()}, ch.Announce)
		_, err = f.Redrive(t.Context(), ref)
		require.ErrorIs(t, err, ErrRedriven)
		_, err = f.Redrive(t.Context(), ch.Execution.Ref())
		require.ErrorIs(t, err, execution.ErrNotEnded)
	}
	require.Len(t, f.messages(t, turn), 3, "one question more, and no two")
	all, err := f.Executions(t.Context(), ada, Filter{}, Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, all, 4)
}
