package supervise_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

var errBad = errors.New("bad")

func isOutage(err error) bool { return errors.Is(err, errUnavailable) }

func fail(err error) func(context.Context) error {
	return func(context.Context) error { return err }
}

func TestFailedKeyBacksOffAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := supervise.NewBackoffs[string](supervise.Sweep, zap.NewNop(), isOutage)
		var longest time.Duration
		for range 20 {
			require.ErrorIs(t, b.Do(t.Context(), "bad", fail(errBad)), errBad)
			require.ErrorIs(t, b.Do(t.Context(), "bad", fail(nil)), supervise.ErrBackingOff)
			require.NoError(t, b.Do(t.Context(), "good", fail(nil)))
			longest = max(longest, b.Wait("bad"))
			time.Sleep(b.Wait("bad"))
		}
		require.Greater(t, longest, 2*time.Minute, "the back-off grows")
		require.LessOrEqual(t, longest, 8*time.Minute)
		require.NoError(t, b.Do(t.Context(), "bad", fail(nil)))
		require.ErrorIs(t, b.Do(t.Context(), "bad", fail(errBad)), errBad)
		require.Less(t, b.Wait("bad"), time.Second, "success ends the back-off")
	})
}

func TestBackOffAfterOutageIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := supervise.NewBackoffs[string](supervise.Sweep, zap.NewNop(), isOutage)
		for range 20 {
			require.ErrorIs(t, b.Do(t.Context(), "k", fail(errUnavailable)), errUnavailable)
			require.LessOrEqual(t, b.Wait("k"), 5*time.Second)
			time.Sleep(b.Wait("k"))
		}
	})
}

func TestPanicIsFailureOfItsKey(t *testing.T) {
	b := supervise.NewBackoffs[string](supervise.Sweep, zap.NewNop(), isOutage)
	var panicked *supervise.PanicError
	require.ErrorAs(t, b.Do(t.Context(), "k", func(context.Context) error { panic("on purpose") }), &panicked)
	require.Positive(t, b.Wait("k"))
}

func TestInterruptedCallIsNoFailure(t *testing.T) {
	b := supervise.NewBackoffs[string](supervise.Sweep, zap.NewNop(), isOutage)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Do(ctx, "k", func(ctx context.Context) error { return ctx.Err() }), context.Canceled)
	require.Zero(t, b.Wait("k"))
}

// Each failure is counted. Of thousands, only some are logged.
func TestFailuresAreCountedAndLogIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logs := observed()
		b := supervise.NewBackoffs[int](supervise.Purge, log, isOutage)
		counter := metrics.BackgroundFailures.WithLabelValues(string(supervise.Purge))
		before := testutil.ToFloat64(counter)
		const keys = 1000
		for k := range keys {
			require.Error(t, b.Do(t.Context(), k, fail(fmt.Errorf("key %d: %w", k, errBad))))
		}
		require.InDelta(t, before+keys, testutil.ToFloat64(counter), 0)
		require.Equal(t, 10, logs.Len())
		require.Equal(t, "key 0: bad", logs.All()[0].ContextMap()["error"])
		time.Sleep(10 * time.Minute)
		require.Error(t, b.Do(t.Context(), 0, fail(errBad)))
		require.Equal(t, 11, logs.Len())
	})
}
