package execution

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDeadLettered(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	queued := New(Spec{Tenant: "ada", Kind: KindRun, Limits: Limits{Timeout: time.Minute}}, now)
	require.NoError(t, queued.Apply(DeadLettered{}, now))
	require.Equal(t, Failed, queued.Status)
	require.Equal(t, CodeDeadLettered, queued.Failure.Code)
	require.Nil(t, queued.Due)
	require.ErrorIs(t, queued.Apply(DeadLettered{}, now), ErrTerminal)

	running := New(Spec{Tenant: "ada", Kind: KindRun, Limits: Limits{Timeout: time.Minute}}, now)
	require.NoError(t, running.Apply(Claimed{Executor: "x", Lease: time.Minute}, now))
	require.ErrorIs(t, running.Apply(DeadLettered{}, now), ErrLeased)
	require.Equal(t, Running, running.Status)
}
