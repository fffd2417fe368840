package cgroup

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestReadUsage(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  Usage
	}{
		"version 2": {map[string]string{
			"memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n",
			"memory.peak":   "104857600\n",
			"cpu.stat":      "usage_usec 1500\nuser_usec 1000\n",
		}, Usage{PeakMemory: 100 << 20, CPUTime: 1500 * time.Microsecond, OOMKills: 1}},
		"version 2 before memory.peak": {map[string]string{
			"memory.events": "oom_kill 0\n",
		}, Usage{}},
		"version 1": {map[string]string{
			"memory/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
			"memory/memory.max_usage_in_bytes": "4096\n",
			"cpu,cpuacct/cpuacct.usage":        "2000000\n",
		}, Usage{PeakMemory: 4096, CPUTime: 2 * time.Millisecond, OOMKills: 3}},
		"version 1 of an old kernel": {map[string]string{
			"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n",
		}, Usage{OOMKills: -1}},
		"no files": {nil, Usage{OOMKills: -1}},
		"invalid content": {map[string]string{
			"memory/memory.oom_control":        "oom_kill many\n",
			"memory/memory.max_usage_in_bytes": "\n",
		}, Usage{OOMKills: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, ReadUsage(mapFS(c.files)))
		})
	}
}
