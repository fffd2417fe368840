package docker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// TestOutOfMemory: whoever the kernel chose, the job ran out of memory.
func TestOutOfMemory(t *testing.T) {
	for name, args := range map[string][]string{
		"agent":                        {"allocate", "200"},
		"child, and the agent exits 0": {"child-oom", "200"},
		"files in tmpfs":               {"fill", "/workspace", "200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDriver(t, Options{})
			job := probe(args...)
			job.Limits.Memory = 64 << 20
			out := run(t, d, job)

			require.Equal(t, sandbox.OutOfMemory, out.EndReason, "%+v", out)
		})
	}
}

func TestMemoryBelowLimit(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe("allocate", "40")
	job.Limits.Memory = 96 << 20
	out := run(t, d, job)

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode)
}

// Init is alone in the container here, so it is the one to be killed.
func TestInitOOMKilled(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe("exit", "0")
	job.Limits.Memory = 24 << 20
	job.Stdin = make([]byte, 48<<20)
	out := run(t, d, job)

	require.Equal(t, sandbox.OutOfMemory, out.EndReason)
	require.Equal(t, 137, out.ExitCode)
}
