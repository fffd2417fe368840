package docker

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Two jobs run at the same time. One leaves traces in every place that jobs of one host could share: files, shared
// memory, abstract sockets, ports. While it runs, the other searches for them.
func TestConcurrentJobsAreIsolated(t *testing.T) {
	d := newDriver(t, Config{})
	g := newGate()
	leaver := probe("leave-traces", sandbox.EgressURL)
	leaver.Egress = g.gateway
	var group errgroup.Group
	group.Go(func() error {
		out, err := d.Run(t.Context(), leaver)
		if err == nil {
			require.Zero(t, out.ExitCode, "%s", out.Stderr)
		}
		return err
	})
	<-g.reached
	out := run(t, d, probe("find-traces"))
	require.Equal(t, "processes: 2\n", string(out.Stdout), "the job sees itself and its own init")
	// The other job's socket exists on the host. This job sees no socket.
	require.Empty(t, string(run(t, d, probe("list-sockets")).Stdout))
	close(g.release)
	require.NoError(t, group.Wait())
}

func TestJobSeesOnlyItsOwnSocket(t *testing.T) {
	d := newDriver(t, Config{})
	g := newGate()
	var group errgroup.Group
	group.Go(func() error { _, err := d.Run(t.Context(), g.job()); return err })
	<-g.reached
	job := probe("list-sockets")
	job.Egress = newGateway(echoBody)
	require.Equal(t, sandbox.EgressSocket+"\n", string(run(t, d, job).Stdout))
	close(g.release)
	require.NoError(t, group.Wait())
}
