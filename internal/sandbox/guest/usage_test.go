package guest

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func TestReadUsage(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  usage
	}{
		"version 2": {map[string]string{
			"memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n",
			"memory.peak":   "104857600\n",
			"cpu.stat":      "usage_usec 1500\nuser_usec 1000\n",
		}, usage{memory: 100 << 20, cpu: 1500 * time.Microsecond, oomKills: 1}},
		"version 2 before memory.peak": {map[string]string{
			"memory.events": "oom_kill 0\n",
		}, usage{}},
		"version 1": {map[string]string{
			"memory/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
			"memory/memory.max_usage_in_bytes": "4096\n",
			"cpu,cpuacct/cpuacct.usage":        "2000000\n",
		}, usage{memory: 4096, cpu: 2 * time.Millisecond, oomKills: 3}},
		"version 1 of an old kernel": {map[string]string{
			"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\n",
		}, usage{oomKills: -1}},
		"nothing": {nil, usage{oomKills: -1}},
		"rubbish": {map[string]string{
			"memory/memory.oom_control":        "oom_kill many\n",
			"memory/memory.max_usage_in_bytes": "\n",
		}, usage{oomKills: -1}},
	} {
		t.Run(name, func(t *testing.T) {
			root := fstest.MapFS{}
			for path, content := range c.files {
				root[path] = &fstest.MapFile{Data: []byte(content)}
			}
			require.Empty(t, cmp.Diff(c.want, readUsage(root), cmp.AllowUnexported(usage{})))
		})
	}
}
