package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestBlobStorageCheck(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	require.NoError(t, checkBlobStorage(t.Context(), config.FileURL(dir)).Err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, checkBlobStorage(t.Context(), "").Err)
	require.Error(t, checkBlobStorage(t.Context(), "file:///proc/blobs").Err)
	require.Error(t, checkBlobStorage(t.Context(), "nonsense").Err)
}

func TestUIDRangeFitsContainers(t *testing.T) {
	t.Parallel()
	c := config.Executor{Slots: 4, WarmPoolSize: 1, SandboxUIDs: sandbox.DefaultUIDs}
	require.NoError(t, checkUIDs(c, 2).Err)
	c.SandboxUIDs = sandbox.UIDRange{First: 1000, Last: 1014} // 4 jobs, 4 removals, 6 idle, 1 probe
	require.NoError(t, checkUIDs(c, 2).Err)
	c.SandboxUIDs.Last--
	require.ErrorContains(t, checkUIDs(c, 2).Err, "fewer than the 15")
}

func TestMisspeltVariableFailsTheCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkVariables([]string{"AIRLOCK_EXECUTOR_SLOTS=2", "AIRLOCK_BILLING=x"}, catalog.Catalog{}).Err)
	require.ErrorContains(t, checkVariables([]string{"AIRLOCK_EXECUTOR_SLOT=2"}, catalog.Catalog{}).Err, "AIRLOCK_EXECUTOR_SLOTS")
}
