package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/config"
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

func TestMisspeltVariableFailsTheCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkVariables([]string{"AIRLOCK_EXECUTOR_SLOTS=2", "AIRLOCK_BILLING=x"}, catalog.Catalog{}).Err)
	require.ErrorContains(t, checkVariables([]string{"AIRLOCK_EXECUTOR_SLOT=2"}, catalog.Catalog{}).Err, "AIRLOCK_EXECUTOR_SLOTS")
}
