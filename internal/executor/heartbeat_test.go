package executor

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// memoryStore has one execution, and the clock of the test. It makes no network calls, so that synctest can be used.
type memoryStore struct {
	fault func(ctx context.Context, ev execution.Event) error // nil, or returns nil: the event is applied

	mu        sync.Mutex
	execution execution.Execution
}

func (s *memoryStore) Apply(ctx context.Context, _ execution.Ref, ev execution.Event) (execution.Change, error) {
	if s.fault != nil {
		if err := s.fault(ctx, ev); err != nil {
			return execution.Change{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.execution.Apply(ev, time.Now())
	return execution.Change{Execution: s.execution}, err
}

func (s *memoryStore) stored() execution.Execution {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.execution
}

// hang is the answer of a store that is unavailable.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
}

// startAttempt claims the execution of a store and starts the heartbeat.
func startAttempt(t *testing.T, c Config, s *memoryStore) (a *attempt, h *heartbeat, jobCtx context.Context) {
	t.Helper()
	c.Executions, c.Log = s, zap.NewNop()
	s.execution = execution.Execution{
		Tenant: tenant, ID: "exe_1", Status: execution.Queued, CreatedAt: time.Now(), QueuedAt: time.Now(), MaxAttempts: 1,
		Limits: execution.Limits{QueueTimeout: time.Hour},
	}
	require.NoError(t, s.execution.Apply(execution.Claimed{Executor: c.Name, Lease: c.Lease}, time.Now()))
	e := s.stored()
	a = &attempt{executor: New(c), execution: &e, log: c.Log, steps: &stepBuffer{}}
	jobCtx, cancelJob := context.WithCancelCause(t.Context())
	return a, a.startHeartbeat(jobCtx, cancelJob, time.Now().Add(c.Lease)), jobCtx
}

func succeeded(a *attempt) execution.JobEnded {
	return execution.JobEnded{Attempt: a.execution.Attempt, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{}}}
}

// A renewal that hangs does not use up the lease: it is aborted and repeated while there is time.
func TestRenewalTimeoutIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig()
		c.Lease, c.Heartbeat = 9*time.Second, 3*time.Second
		renewals := 0
		s := &memoryStore{fault: func(ctx context.Context, ev execution.Event) error {
			if _, renewed := ev.(execution.Renewed); !renewed {
				return nil
			}
			if renewals++; renewals > 2 {
				return nil
			}
			return hang(ctx)
		}}
		a, heartbeat, jobCtx := startAttempt(t, c, s)
		claimedAt := time.Now()
		time.Sleep(c.Lease - time.Millisecond)
		require.NoError(t, jobCtx.Err())
		require.Equal(t, claimedAt.Add(c.Heartbeat+2*c.Heartbeat/2+c.Lease), s.stored().Lease.Expires, "the third renewal came after two time-outs")
		_, written := a.finish(jobCtx, succeeded(a))
		heartbeat.stopAndWait()
		require.True(t, written)
		require.Equal(t, execution.Succeeded, s.stored().Status)
		require.Equal(t, 1, s.stored().Attempt)
	})
}

// A renewed lease holds for as long as the job runs.
func TestJobLongerThanLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig()
		c.Lease, c.Heartbeat = 15*time.Second, 5*time.Second
		s := &memoryStore{}
		a, heartbeat, jobCtx := startAttempt(t, c, s)
		time.Sleep(100*c.Lease + time.Millisecond)
		require.NoError(t, jobCtx.Err())
		_, written := a.finish(jobCtx, succeeded(a))
		heartbeat.stopAndWait()
		require.True(t, written)
		require.Equal(t, 1, s.stored().Attempt)
	})
}

// A job ends at the moment when its lease expires, although a renewal is in progress.
func TestUnavailableStoreEndsJobWhenLeaseExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig()
		c.Lease, c.Heartbeat = 15*time.Second, 5*time.Second
		s := &memoryStore{fault: func(ctx context.Context, _ execution.Event) error { return hang(ctx) }}
		_, heartbeat, jobCtx := startAttempt(t, c, s)
		claimedAt := time.Now()
		<-jobCtx.Done()
		require.ErrorIs(t, context.Cause(jobCtx), execution.ErrLeaseLost)
		require.Equal(t, c.Lease, time.Since(claimedAt))
		heartbeat.stopAndWait()
	})
}

// A result that cannot be written is repeated for as long as a lease lasts, and no longer.
func TestFinishTriesForOneLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testConfig()
		c.Lease, c.Heartbeat = 15*time.Second, 5*time.Second
		calls := 0
		s := &memoryStore{fault: func(_ context.Context, ev execution.Event) error {
			if _, ended := ev.(execution.JobEnded); ended {
				calls++
				return store.ErrUnavailable
			}
			return nil
		}}
		a, heartbeat, jobCtx := startAttempt(t, c, s)
		startedAt := time.Now()
		_, written := a.finish(jobCtx, succeeded(a))
		heartbeat.stopAndWait()
		require.False(t, written)
		require.Greater(t, calls, 3)
		require.LessOrEqual(t, time.Since(startedAt), c.Lease)
		require.Greater(t, time.Since(startedAt), c.Lease/3)
		require.Equal(t, execution.Running, s.stored().Status)
	})
}
