package docker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// The job is out of memory if the kernel kills the agent.
func TestMemoryOverLimitIsOutOfMemory(t *testing.T) {
	for name, args := range map[string][]string{
		"agent":          {"allocate", "200"},
		"files in tmpfs": {"fill", "/workspace", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, Config{})
			job := probe(args...)
			job.Limits.Memory = 64 << 20
			out := run(t, d, job)

			require.Equal(t, sandbox.OutOfMemory, out.EndReason, "%+v", out)
			require.Positive(t, out.OOMKills)
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
