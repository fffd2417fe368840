package selfinspect

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The test's own process is not in a sandbox, but it has a view as well.
func TestRead(t *testing.T) {
	v := Read()
	require.Equal(t, v.Status["Pid"], v.Status["Tgid"])
	require.Contains(t, v.Mounts, "/proc")
	require.Contains(t, v.Interfaces, "lo")
	require.Contains(t, v.Ulimits, "nofile")
	require.NotEmpty(t, v.Kernel)
	require.NotEmpty(t, v.RootWriteResult)
	require.NoFileExists(t, "/written")
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, host, v.Hostname)
}

func TestCgroupPaths(t *testing.T) {
	for lines, want := range map[string][]string{
		"":                       nil,
		"0::/\n":                 {"/"},
		"0::/docker/x\n":         {"/docker/x"},
		"4:memory:/\n3:pids:/\n": {"/", "/"},
	} {
		require.Equal(t, want, cgroupPaths(lines), "%q", lines)
	}
}
