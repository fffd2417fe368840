package docker

import (
	"strings"
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

// The kernel counts some limits for each user of the host. Two jobs run at the same time. One exhausts all of these
// limits, and the other one does not notice.
func TestConcurrentJobsShareNoLimits(t *testing.T) {
	if d := newDriver(t, Config{}); d.runtime != defaultRuntime {
		t.Skip("only under runc do processes of a sandbox use the host's kernel")
	}
	for name, c := range map[string]struct {
		args []string
		want string // pattern of the output of the job that takes
	}{
		"kernel objects": {[]string{"exhaust-user-limits", sandbox.EgressURL},
			"inotify watches: no space left on device\ninotify instances: too many open files\n" +
				"message queues: too many open files\ndescriptors in flight: too many references: cannot splice\n" +
				"pages of pipes: pipe of (8192|4096) bytes\nqueued signals: resource temporarily unavailable\n"},
		"processes": {[]string{"spawn-sleepers", "15", sandbox.EgressURL}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDriver(t, Config{})
			g := newGate()
			taker := probe(c.args...)
			taker.Egress = g.gateway
			taken := make(chan sandbox.Outcome, 1)
			var group errgroup.Group
			group.Go(func() error {
				out, err := d.Run(t.Context(), taker)
				taken <- out
				return err
			})
			<-g.reached
			other := run(t, d, probe("use-user-limits"))
			close(g.release)
			require.NoError(t, group.Wait())
			out := <-taken
			require.Zero(t, out.ExitCode, "%s", out.Stderr)
			require.Regexp(t, "^"+c.want+"$", string(out.Stdout))
			require.NotEqual(t, out.Record.Settings.User, other.Record.Settings.User)

			lines := strings.Split(strings.TrimSpace(string(other.Stdout)), "\n")
			require.Len(t, lines, 7)
			for _, line := range lines {
				require.Regexp(t, `: <nil>$`, line)
			}
		})
	}
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
