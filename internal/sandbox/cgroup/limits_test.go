package cgroup

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func mapFS(content map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, data := range content {
		fsys[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return fsys
}

func TestReadLimits(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  Limits
	}{
		"version 2": {
			map[string]string{
				"cgroup.controllers": "cpu memory pids\n", "memory.max": "1073741824\n", "memory.swap.max": "0\n",
				"pids.max": "256\n", "cpu.max": "50000 100000\n",
			}, Limits{Memory: 1 << 30, PIDs: 256, CPU: 0.5},
		},
		"version 2, no limits": {
			map[string]string{
				"cgroup.controllers": "", "memory.max": "max\n", "memory.swap.max": "max\n", "pids.max": "max\n", "cpu.max": "max 100000\n",
			}, Limits{Memory: -1, Swap: -1, PIDs: -1, CPU: -1},
		},
		"version 1": {
			map[string]string{
				"memory/memory.limit_in_bytes": "1073741824\n", "memory/memory.memsw.limit_in_bytes": "1073741824\n",
				"pids/pids.max": "256\n", "cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n",
			}, Limits{Memory: 1 << 30, PIDs: 256, CPU: 1},
		},
		"version 1 without swap accounting": {
			map[string]string{"memory/memory.limit_in_bytes": "1024\n"}, Limits{Memory: 1024, Swap: -1},
		},
		"no files": {nil, Limits{Swap: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, ReadLimits(mapFS(c.files)))
		})
	}
}
