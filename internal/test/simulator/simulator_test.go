package simulator

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

// small is a fleet that answers at once.
var small = Options{Executors: 2, Slots: 4}

// All executions succeed, and each is at least created, claimed and finished. What else is counted fits together.
func TestPlainExecutionsAreCounted(t *testing.T) {
	t.Parallel()
	r, err := Plain(t.Context(), small, PlainOptions{Executions: 20, Lone: 3, Clients: 4})
	require.NoError(t, err)
	require.GreaterOrEqual(t, r.Counts[Writes]["executions"], int64(3*20))
	require.GreaterOrEqual(t, r.Counts.Sum(Published), int64(20))
	require.GreaterOrEqual(t, r.Counts.Sum(Deliveries), int64(20))
	require.GreaterOrEqual(t, r.Counts.Sum(MessageBytes), int64(minRequestBytes))
	require.GreaterOrEqual(t, r.Counts.Sum(Reads), int64(20), "each claim reads its execution")
	require.Zero(t, r.Counts.Sum(FailedCalls)-r.Counts[FailedCalls]["Commit Aborted"])
	require.Positive(t, r.Figures["executions/s"])
	require.Positive(t, r.Figures["202 to start p50 ms"])
	require.Greater(t, r.Figures["USD per million executions"], 3*1e6*Prices.Write)
}

// A latency is what a call takes.
func TestLatencyIsInjected(t *testing.T) {
	t.Parallel()
	o := small
	o.Latency = Latency{Commit: 200 * time.Millisecond}
	r, err := Plain(t.Context(), o, PlainOptions{Executions: 1, Lone: 1, Clients: 1})
	require.NoError(t, err)
	require.Greater(t, r.Figures["accept p50 ms"], 200.0)
	// Half of a latency passes before its commit takes effect, so the dispatcher or executor may see the new execution
	// and its end before the answers.
	require.Greater(t, r.Figures["POST to end p50 ms"], 400.0, "created (100 ms), claimed (200 ms), finished (100 ms)")
}

// With nothing else to do, an idle fleet only reads.
func TestIdleFleetIsMeasured(t *testing.T) {
	t.Parallel()
	r, err := Idle(t.Context(), small, 0, time.Second)
	require.NoError(t, err)
	require.Zero(t, r.Counts[Writes]["executions"])
	require.InDelta(t, float64(r.Counts.Sum(Reads)), r.Figures["reads/s"], 0.2*r.Figures["reads/s"])
}

// A tenant behind as many runs as there are slots waits for one of them.
func TestWaitBehindAnotherTenantIsMeasured(t *testing.T) {
	t.Parallel()
	r, err := Fair(t.Context(), Options{Executors: 1, Slots: 2}, FairOptions{
		Behind: 4, Long: 300 * time.Millisecond, Repeat: 1, Limit: 20 * time.Second, Clients: 4,
	})
	require.NoError(t, err)
	require.Positive(t, r.Figures["wait behind slots p50 ms"])
	require.Positive(t, r.Figures["ratio of waits"])
}

// Documents that wait are found and run by a fleet that starts after them, those of all tenants.
func TestBacklogRuns(t *testing.T) {
	t.Parallel()
	r, err := RunBacklog(t.Context(), small, BacklogOptions{
		Backlog: Backlog{Tenants: 3, Each: 100}, Period: time.Second, Executions: 200,
	})
	require.NoError(t, err)
	// Claimed and finished; those that run when the measurement begins were claimed before.
	require.GreaterOrEqual(t, r.Counts[Writes]["executions"], int64(2*200-small.Executors*small.Slots))
	require.Contains(t, r.Figures, "all slots busy: reads/s")
}

// The executions of an executor that dies are queued again.
func TestDeadExecutorIsMeasured(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes as long as a lease")
	}
	r, err := Dead(t.Context(), small, Backlog{Tenants: 1, Each: 100}, 0, time.Minute)
	require.NoError(t, err)
	require.NotContains(t, r.Figures, "not queued again within the limit")
	require.InDelta(t, small.Slots, r.Figures["running executions of the dead executor"], 0)
	require.Positive(t, r.Figures["queued again after p50 ms"])
}

// A process that watches has a signal for each end.
func TestWatchedEndsAreSignalled(t *testing.T) {
	t.Parallel()
	o := small
	o.APIs = 2
	r, err := Watch(t.Context(), o, 3, 1, 300*time.Millisecond)
	require.NoError(t, err)
	require.GreaterOrEqual(t, r.Figures["signals per end"], 1.0)
	require.Contains(t, r.Figures, "end to answer p50 ms")
}
