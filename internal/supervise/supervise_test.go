package supervise_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/supervise"
)

// The tests use synctest, whose clock makes minutes pass at once.

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errUnavailable = errors.New("unavailable")

func observed() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	return zap.New(core), logs
}

func TestRunRestartsTaskWithBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var starts []time.Time
		err := supervise.Run(ctx, zap.NewNop(), "the task", func(context.Context) error {
			if starts = append(starts, time.Now()); len(starts) == 30 {
				cancel()
			}
			return errUnavailable
		})
		require.NoError(t, err, "only the context ends it")
		require.Len(t, starts, 30)
		for i := range starts[1:] {
			pause := starts[i+1].Sub(starts[i])
			require.GreaterOrEqual(t, pause, 100*time.Millisecond)
			require.LessOrEqual(t, pause, 7500*time.Millisecond)
		}
		require.Less(t, starts[1].Sub(starts[0]), 400*time.Millisecond)
		require.Greater(t, starts[29].Sub(starts[28]), 2*time.Second)
	})
}

func TestRunRestartsTaskThatReturnsNil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		require.NoError(t, supervise.Run(ctx, zap.NewNop(), "the task", func(context.Context) error {
			if runs++; runs == 3 {
				cancel()
			}
			return nil
		}))
		require.Equal(t, 3, runs)
	})
}

func TestRunRestartsTaskThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		log, logs := observed()
		runs := 0
		require.NoError(t, supervise.Run(ctx, log, "the task", func(context.Context) error {
			if runs++; runs == 1 {
				panic("on purpose")
			}
			cancel()
			return nil
		}))
		require.Equal(t, 2, runs)
		require.Equal(t, 1, logs.Len())
		require.Contains(t, logs.All()[0].ContextMap()["error"], "on purpose")
		require.Contains(t, logs.All()[0].ContextMap()["error"], "supervise_test.go", "the stack shows where the panic came from")
	})
}

func TestRunResetsBackOffAfterHealthyTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		var ended time.Time
		require.NoError(t, supervise.Run(ctx, zap.NewNop(), "the task", func(context.Context) error {
			switch runs++; {
			case runs == 20:
				time.Sleep(time.Minute)
				ended = time.Now()
			case runs == 21:
				require.Less(t, time.Since(ended), 400*time.Millisecond)
				cancel()
			}
			return errUnavailable
		}))
		require.Equal(t, 21, runs)
	})
}

func TestRunLogsFailureAtOnceAndEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		log, logs := observed()
		require.NoError(t, supervise.Run(ctx, log, "the task", func(context.Context) error { return errUnavailable }))
		require.GreaterOrEqual(t, logs.Len(), 8)
		require.LessOrEqual(t, logs.Len(), 11)
		first := logs.All()[0].ContextMap()
		require.Equal(t, "the task", first["task"])
		require.Equal(t, errUnavailable.Error(), first["error"])
	})
}

func TestRunLogsNextFailureOfHealthyTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		log, logs := observed()
		runs := 0
		require.NoError(t, supervise.Run(ctx, log, "the task", func(context.Context) error {
			switch runs++; runs {
			case 2:
				time.Sleep(45 * time.Second)
			case 3:
				cancel()
			}
			return errUnavailable
		}))
		require.Equal(t, 2, logs.Len())
	})
}

func TestRunReturnsDuringBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		runs := 0
		go func() {
			ended <- supervise.Run(ctx, zap.NewNop(), "the task", func(context.Context) error { runs++; return errUnavailable })
		}()
		synctest.Wait() // for the back-off
		canceledAt := time.Now()
		cancel()
		require.NoError(t, <-ended)
		require.Zero(t, time.Since(canceledAt))
		require.Equal(t, 1, runs)
	})
}

func TestRunWithCanceledContextDoesNotStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, supervise.Run(ctx, zap.NewNop(), "the task", func(context.Context) error {
		t.Error("the task was started")
		return nil
	}))
}

func TestRunDoesNotLogCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	log, logs := observed()
	require.NoError(t, supervise.Run(ctx, log, "the task", func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	}))
	require.Zero(t, logs.Len())
}

func TestRunUntilSuccessReturnsAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		supervise.RunUntilSuccess(t.Context(), zap.NewNop(), "the task", func(context.Context) error {
			if runs++; runs < 4 {
				return errUnavailable
			}
			return nil
		})
		require.Equal(t, 4, runs)
		require.NoError(t, t.Context().Err(), "the caller's context has not ended")
	})
}

func TestRunUntilSuccessReturnsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		startedAt := time.Now()
		supervise.RunUntilSuccess(ctx, zap.NewNop(), "the task", func(context.Context) error { return errUnavailable })
		require.Equal(t, time.Minute, time.Since(startedAt))
	})
}

func TestEveryRunsAtOnceAndThenEachInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		startedAt := time.Now()
		var at []time.Duration
		require.NoError(t, supervise.Every(time.Minute, func(context.Context) error {
			if at = append(at, time.Since(startedAt)); len(at) == 3 {
				cancel()
			}
			return nil
		})(ctx))
		require.Equal(t, []time.Duration{0, time.Minute, 2 * time.Minute}, at)
		require.ErrorIs(t, supervise.Every(time.Minute, func(context.Context) error { return errUnavailable })(t.Context()), errUnavailable)
	})
}
