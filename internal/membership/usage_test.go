package membership

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/store"
)

// What a process has ended and not written is counted when its session has expired.
func TestUsageOfAnExpiredSessionIsCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.start("a")
	b := f.start("b")
	f.awaitOwners("a", "b")
	a.store.UseSession(a.SessionID)
	ag := agent.Agent{Tenant: "ada", Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, a.store.CreateAgent(t.Context(), &ag, nil))
	ch, err := a.store.SubmitRun(t.Context(), store.RunRequest{Tenant: "ada", AgentID: ag.ID, Input: "x"})
	require.NoError(t, err)
	_, err = a.store.Apply(t.Context(), ch.Execution.Ref(), execution.CancelRequested{})
	require.NoError(t, err)
	a.stop()
	f.eventually(func() bool {
		var report usage.Report
		return b.store.Usage(t.Context(), "ada", "2000-01-01", "2999-12-31", &report) == nil && report.Total.Canceled == 1
	})
}
