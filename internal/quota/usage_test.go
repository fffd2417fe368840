package quota

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

// fakeStore accepts all runs, and has as many queued executions as the test says. It makes no network calls, so that
// synctest can be used.
type fakeStore struct {
	Store
	tenant tenant.Tenant
	queued int
	counts int // calls of CountQueued
}

func (s *fakeStore) SubmitRun(_ context.Context, r store.RunRequest) (execution.Change, error) {
	_, err := r.Place(&s.tenant, &execution.Execution{Tenant: r.Tenant})
	return execution.Change{}, err
}

func (s *fakeStore) CountQueued(context.Context, string, int) (int, error) {
	s.counts++
	return s.queued, nil
}

func TestCountsAreReusedWhileFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeStore{}
		e := New(Config{Store: s, Limits: Limits{Queued: 3}, Fleet: newFleetView(), Log: zap.NewNop()})
		submit := func() error {
			_, err := e.SubmitRun(t.Context(), store.RunRequest{Tenant: ada})
			return err
		}
		requireFull := func(counts int) {
			t.Helper()
			var full *QueueFullError
			require.ErrorAs(t, submit(), &full)
			require.Equal(t, counts, s.counts)
		}
		requireAccepted := func(counts int) {
			t.Helper()
			require.NoError(t, submit())
			require.Equal(t, counts, s.counts)
		}
		requireAccepted(1)
		requireAccepted(1)
		time.Sleep(maxAgeToReject)
		requireAccepted(1) // counts of that age are good enough to accept
		s.queued = 3
		requireFull(2) // but not to reject
		s.queued = 2
		time.Sleep(maxAgeToReject - time.Millisecond)
		requireFull(2)
		time.Sleep(time.Millisecond)
		requireAccepted(3)
		s.queued = 0
		time.Sleep(maxAgeToAdmit)
		requireAccepted(4)
	})
}
