package docker

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestOutputOverLimitIsTruncated(t *testing.T) {
	d := newDriver(t, Config{})
	for _, size := range []int{0, 1, 65536, 65537, 4 << 20} {
		job := probe("write-stdout", itoa(size))
		out := run(t, d, job)
		require.Equal(t, sandbox.Exited, out.EndReason)
		require.Len(t, out.Stdout, size)
		require.False(t, out.Truncated)
	}
	out := run(t, d, probe("write-stdout", itoa(4<<20+1)))
	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Len(t, out.Stdout, 4<<20)
	require.True(t, out.Truncated)
}

func TestOutputLimitBoundsExecutorMemory(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("write-stdout", itoa(10<<30))
	job.Limits = sandbox.Limits{Output: 1 << 20, Memory: 256 << 20}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	out := run(t, d, job)
	runtime.ReadMemStats(&after)

	require.Equal(t, sandbox.OutputLimit, out.EndReason)
	require.True(t, out.Truncated)
	require.Len(t, out.Stdout, 1<<20)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "bytes allocated by the executor")
}

func TestEndsOfStderrAreReported(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("write-stderr", itoa(100<<10)))

	require.Len(t, out.Stderr, 16<<10)
	require.Contains(t, string(out.Stderr), "\n…\n")
	require.True(t, bytes.HasSuffix(out.Stderr, []byte("the end\n")))
}

// A shell's `> /dev/stdout` truncates the file of the agent's standard output.
func TestOutputAfterTruncationIsReported(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("write", "/dev/stdout", "after truncation"))

	require.Equal(t, "after truncation", string(out.Stdout))
}

// The output of an agent is never read as reports of init, even if it looks like frames.
func TestFramesInAgentOutputAreNotReports(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("echo")
	job.Stdin = append([]byte{1, 0, 0, 0, 0, 0, 0, 40}, []byte(`ALK2{"seq":2,"kind":"result","result":{}}`)...)
	out := run(t, d, job)

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Equal(t, job.Stdin, out.Stdout)
}
