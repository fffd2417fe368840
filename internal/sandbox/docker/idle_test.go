package docker

import (
	"encoding/json"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
)

// idleMemory is what the Engine counts for a container, without page cache.
func idleMemory(tb testing.TB, d *Driver, id string) uint64 {
	tb.Helper()
	answer, err := d.api.ContainerStatsOneShot(tb.Context(), id)
	require.NoError(tb, err)
	defer answer.Body.Close()
	var stats container.StatsResponse
	require.NoError(tb, json.NewDecoder(answer.Body).Decode(&stats))
	cache := stats.MemoryStats.Stats["total_inactive_file"] + stats.MemoryStats.Stats["total_active_file"]
	if cache == 0 { // control groups of version 2
		cache = stats.MemoryStats.Stats["file"]
	}
	require.Greater(tb, stats.MemoryStats.Usage, cache)
	return stats.MemoryStats.Usage - cache
}

func TestWarmContainerMemory(t *testing.T) {
	d := warmDriver(t, 1)
	require.Less(t, idleMemory(t, d, containers(t, d)[0].ID), uint64(6_000_000))
}
