package docker

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// TestNeighboursDoNotMeet runs two jobs at once. One leaves traces wherever
// jobs of one host could meet: files, shared memory, abstract sockets, ports.
// While it holds them, the other looks for them.
func TestConcurrentJobsAreIsolated(t *testing.T) {
	d := newDriver(t, Options{})
	m := newGate()
	leaver := probe("settle", sandbox.EgressURL)
	leaver.Egress = m.gateway
	var group errgroup.Group
	group.Go(func() error {
		out, err := d.Run(t.Context(), leaver)
		if err == nil {
			require.Zero(t, out.ExitCode, "%s", out.Stderr)
		}
		return err
	})
	<-m.reached
	out := run(t, d, probe("seek"))
	require.Equal(t, "processes: 2\n", string(out.Stdout), "itself and its own init")
	// The neighbour's socket is there, on the host; here no socket is seen.
	require.Empty(t, string(run(t, d, probe("sockets")).Stdout))
	close(m.release)
	require.NoError(t, group.Wait())
}

// A job sees its own socket and no other.
func TestJobSeesOnlyItsOwnSocket(t *testing.T) {
	d := newDriver(t, Options{})
	m := newGate()
	var group errgroup.Group
	group.Go(func() error { _, err := d.Run(t.Context(), m.job()); return err })
	<-m.reached
	job := probe("sockets")
	job.Egress = newGateway(echoBody)
	require.Equal(t, sandbox.EgressSocket+"\n", string(run(t, d, job).Stdout))
	close(m.release)
	require.NoError(t, group.Wait())
}
