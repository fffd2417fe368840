package docker

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// The job is out of memory if the kernel kills the agent.
func TestMemoryOverLimitIsOutOfMemory(t *testing.T) {
	t.Parallel()
	d := newDriver(t, Config{})
	job := probe("allocate", "200")
	job.Limits.Memory = 64 << 20
	out := run(t, d, job)

	require.Equal(t, sandbox.OutOfMemory, out.EndReason, "%+v", out)
	require.Positive(t, out.OOMKills)
}

// A full disk is an error of the write, at any limit of memory: the files of an agent never end it.
func TestFullDiskIsNotOutOfMemory(t *testing.T) {
	for _, memory := range []int64{64 << 20, 256 << 20, 2 << 30} {
		t.Run(fmt.Sprint(memory>>20, " MiB"), func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, Config{})
			job := probe("fill-dirs", "/workspace", "/tmp", "/home/agent")
			job.Limits.Memory = memory
			out := run(t, d, job)

			require.Equal(t, sandbox.Exited, out.EndReason, "%+v", out)
			require.Equal(t, 1, out.ExitCode)
			requireNoSpace(t, out)
			require.Zero(t, out.OOMKills)
		})
	}
}

// The agent may go on after the kernel has killed a child. Its exit is the job's end, and the kill is counted.
func TestOOMKillOfChildIsCounted(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("allocate-in-child", "200")
	job.Limits.Memory = 64 << 20
	out := run(t, d, job)

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode)
	require.EqualValues(t, 1, out.OOMKills)
}

func TestMemoryBelowLimitIsAllowed(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("allocate", "40")
	job.Limits.Memory = 96 << 20
	out := run(t, d, job)

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode)
}

// Init reads a large job before it starts the agent. It is the only process, so the kernel kills it.
func TestOOMKillOfInitIsOutOfMemory(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("exit", "0")
	job.Limits.Memory = 24 << 20
	job.Stdin = make([]byte, 48<<20)
	out := run(t, d, job)

	require.Equal(t, sandbox.OutOfMemory, out.EndReason)
	require.Equal(t, 137, out.ExitCode)
}
