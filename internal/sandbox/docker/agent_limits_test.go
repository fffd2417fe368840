package docker

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestAgentHasNoPrivileges(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("cat", "/proc/self/status"))

	status := map[string]string{}
	for line := range strings.Lines(string(out.Stdout)) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.Join(strings.Fields(value), " ")
	}
	uid, ok := parseUser(out.Record.Settings.User)
	require.True(t, ok)
	ids := fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", uid)
	for key, want := range map[string]string{
		"CapInh": "0000000000000000", "CapPrm": "0000000000000000", "CapEff": "0000000000000000",
		"CapBnd": "0000000000000000", "CapAmb": "0000000000000000",
		"NoNewPrivs": "1", "Seccomp": "2",
		"Uid": ids, "Gid": ids, "Groups": strconv.Itoa(uid),
	} {
		require.Equal(t, want, status[key], key)
	}
}

func TestUserHasName(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("user"))
	uid, _ := parseUser(out.Record.Settings.User)
	require.Equal(t, fmt.Sprintf("%[1]d agent /home/agent %[1]d agent\n", uid), string(out.Stdout), "%s", out.Stderr)
}

func TestAgentSeesOnlyItsEnvironment(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "sk-executor")
	d := newDriver(t, Config{})
	job := probe("env")
	job.Env = []string{"JOB_VALUE=a value", "LANG=de_DE.UTF-8"}
	out := run(t, d, job)

	want := []string{
		"HOME=/home/agent",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"USER=agent",
		"JOB_VALUE=a value",
		"LANG=de_DE.UTF-8",
	}
	require.Empty(t, cmp.Diff(want, strings.Split(strings.TrimSpace(string(out.Stdout)), "\n")))
}

func TestOnlyTmpfsPathsAreWritable(t *testing.T) {
	d := newDriver(t, Config{})
	for path, writable := range map[string]bool{
		"/workspace/f":                  true,
		"/home/agent/f":                 true,
		"/tmp/f":                        true,
		"/f":                            false,
		"/dev/f":                        false,
		"/sandbox-init":                 false,
		"/run/airlock/f":                false,
		"/proc/sys/kernel/core_pattern": false,
		"/proc/sysrq-trigger":           false,
		"/sys/fs/cgroup/f":              false,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			out := run(t, d, probe("write", path, "x"))
			require.Equal(t, writable, out.ExitCode == 0, "%s", out.Stderr)
		})
	}
}

func TestAgentCannotOpenInit(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("open", "/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/fd/2", "/proc/1/mem", "/proc/1/environ"))

	lines := strings.Split(strings.TrimSpace(string(out.Stdout)), "\n")
	require.Len(t, lines, 10)
	for _, line := range lines {
		require.Contains(t, line, "permission denied")
	}
}

func TestInitSurvivesSignalsFromAgent(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("signal-init"))

	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Equal(t, "sent\n", string(out.Stdout))
}

func TestAgentHasNoNetwork(t *testing.T) {
	d := newDriver(t, Config{})
	targets := []string{
		"tcp", "1.1.1.1:443", "tcp", "169.254.169.254:80", "tcp", "172.17.0.1:22", "udp", "8.8.8.8:53",
		"tcp", sandbox.EgressAddr, "unix", sandbox.EgressSocket,
	}
	out := run(t, d, probe(append([]string{"dial"}, targets...)...))

	require.NotContains(t, string(out.Stdout), "connected")
	require.Equal(t, len(targets)/2, strings.Count(string(out.Stdout), "\n"))
}

func TestOtherSocketFamiliesAreRefused(t *testing.T) {
	d := newDriver(t, Config{})
	// AF_UNIX, AF_INET, AF_INET6; AF_ALG, AF_VSOCK, AF_PACKET, AF_BLUETOOTH.
	out := run(t, d, probe("socket", "1", "2", "10", "38", "40", "17", "31"))

	want := "1 <nil>\n2 <nil>\n10 <nil>\n" +
		"38 operation not permitted\n40 operation not permitted\n17 operation not permitted\n31 operation not permitted\n"
	require.Equal(t, want, string(out.Stdout))
}

func TestIOUringIsRefused(t *testing.T) {
	d := newDriver(t, Config{})
	require.Equal(t, "operation not permitted\n", string(run(t, d, probe("io-uring")).Stdout))
}

func TestInputFilesExistWhenAgentStarts(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("cat", "/workspace/deep/er/a.txt", "/home/agent/.config/b")
	job.Files = []sandbox.File{
		{Path: "/workspace/deep/er/a.txt", Data: []byte("first ")},
		{Path: "/home/agent/.config/b", Mode: 0o600, Data: []byte("second")},
	}
	out := run(t, d, job)
	require.Equal(t, "first second", string(out.Stdout), "%s", out.Stderr)

	job.Argv = []string{"/probe", "ls", "/workspace/deep/er/a.txt", "/home/agent/.config/b"}
	out = run(t, d, job)
	require.Equal(t, "-rw-r--r-- /workspace/deep/er/a.txt\n-rw------- /home/agent/.config/b\n", string(out.Stdout))
}

func TestPromptIsNotInterpreted(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("echo")
	job.Stdin = []byte("'; rm -rf / # $(id) `id` --dangerously-skip-permissions\x00\n")
	out := run(t, d, job)

	require.Equal(t, job.Stdin, out.Stdout)
}

func TestConcurrentJobsShareNoFiles(t *testing.T) {
	d := newDriver(t, Config{})
	// Both jobs write the same path. Neither reads it before both have written.
	gates := map[string]*gate{"first": newGate(), "second": newGate()}
	results := make(chan [2]string, len(gates))
	for content, m := range gates {
		job := probe("write-post-read", "/workspace/same", content, sandbox.EgressURL)
		job.Egress = m.gateway
		go func() {
			out, err := d.Run(t.Context(), job)
			assert.NoError(t, err)
			results <- [2]string{content, string(out.Stdout)}
		}()
	}
	for _, m := range gates {
		<-m.reached
	}
	for _, m := range gates {
		close(m.release)
	}
	for range gates {
		r := <-results
		require.Equal(t, r[0], r[1])
	}
	require.Equal(t, "absent", string(run(t, d, probe("read", "/workspace/same")).Stdout))
}
