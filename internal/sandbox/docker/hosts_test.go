package docker

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// The Engine gives a container without a network no resolv.conf, and no hosts file either. Ours names localhost, and
// the name server that init is for jobs with a network. The
// loopback device is up: the egress bridge listens on it.
func TestHostsFile(t *testing.T) {
	d := newDriver(t, Config{})
	require.Equal(t, sandboxFiles(0)["/etc/hosts"], string(run(t, d, probe("read", "/etc/hosts")).Stdout))
	require.Equal(t, "sandbox\n", string(run(t, d, probe("read", "/etc/hostname")).Stdout))
	require.Equal(t, sandboxFiles(0)["/etc/resolv.conf"], string(run(t, d, probe("read", "/etc/resolv.conf")).Stdout))

	job := probe("post", strings.Replace(sandbox.EgressURL, "127.0.0.1", "localhost", 1))
	job.Stdin, job.Egress = []byte("hello"), newGateway(echoBody)
	out := run(t, d, job)
	require.Equal(t, "hello", string(out.Stdout), "%s", out.Stderr)
}

// The sources of a sandbox's mounts show neither its executor nor the container's ID. What remains is in
// docs/security.md.
func TestMountsShowLittleOfTheHost(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("read", "/proc/self/mountinfo"))
	text := string(out.Stdout)
	host, err := os.Hostname()
	require.NoError(t, err)
	for _, secret := range []string{d.instance.name, host, "/containers/"} {
		require.NotContains(t, text, secret)
	}
	require.Contains(t, text, "/"+strings.TrimPrefix(out.Record.Container, containerName(""))+" "+egressDir+" ")
}
