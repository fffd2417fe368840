package docker

import (
	"bytes"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestOutputTruncatedAtLimit(t *testing.T) {
	d := newDriver(t, Options{})
	for _, size := range []int{0, 1, 65536, 65537, 4 << 20} {
		job := probe("spam", itoa(size))
		out := run(t, d, job)
		require.Equal(t, sandbox.Exited, out.EndReason)
		require.Len(t, out.Stdout, size)
		require.False(t, out.Truncated)
	}
	out := run(t, d, probe("spam", itoa(4<<20+1)))
	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Len(t, out.Stdout, 4<<20)
	require.True(t, out.Truncated)
}

func TestOutputLimitBoundsExecutorMemory(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe("spam", itoa(10<<30))
	job.Limits = sandbox.Limits{Output: 1 << 20, Memory: 256 << 20}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	out := run(t, d, job)
	runtime.ReadMemStats(&after)

	require.Equal(t, sandbox.OutputLimit, out.EndReason)
	require.True(t, out.Truncated)
	require.Len(t, out.Stdout, 1<<20)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "bytes allocated in all")
}

func TestStderrTail(t *testing.T) {
	d := newDriver(t, Options{})
	out := run(t, d, probe("complain", itoa(100<<10)))

	require.Len(t, out.Stderr, 16<<10)
	require.True(t, bytes.HasSuffix(out.Stderr, []byte("the end\n")))
}

// A shell's `> /dev/stdout` truncates the file that is the agent's output.
func TestStdoutTruncatedByAgent(t *testing.T) {
	d := newDriver(t, Options{})
	out := run(t, d, probe("write", "/dev/stdout", "over again"))

	require.Equal(t, "over again", string(out.Stdout))
}

// What an agent prints is never taken for init's word: here it prints frames.
func TestForgedFramesInOutput(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe("echo")
	job.Stdin = append([]byte{1, 0, 0, 0, 0, 0, 0, 40}, []byte(`ALK1{"seq":2,"kind":"result","result":{}}`)...)
	out := run(t, d, job)

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Equal(t, job.Stdin, out.Stdout)
}
