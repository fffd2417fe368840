package docker

import (
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// attack is one action of a hostile agent, in a container of its own.
type attack struct {
	name   string
	args   []string // of the probe image
	change func(*sandbox.Job)

	wantEnd      sandbox.EndReason
	wantExitCode int
	wantOutput   string // pattern of the complete output; empty means any output
	verify       func(*testing.T, sandbox.Outcome)
}

// anyExitCode is for an agent that is killed or exits before that.
const anyExitCode = -1

func withShortTimeout(j *sandbox.Job) { j.Timeout = time.Second }

// attacks is the suite. The program of the attackers is in images/probe.
var attacks = []attack{
	// The attacks after this one show that the host can still start processes.
	{name: "a fork bomb", args: []string{"fork-bomb"}, wantEnd: sandbox.Exited,
		wantOutput: `^\d+ resource temporarily unavailable\n$`},
	{name: "2 GiB of memory", args: []string{"allocate", "2048"}, wantEnd: sandbox.OutOfMemory, wantExitCode: 137},
	{name: "2 GiB in a child, and exits 0", args: []string{"allocate-in-child", "2048"}, wantEnd: sandbox.Exited,
		wantOutput: `child: signal: killed`,
		verify:     func(t *testing.T, o sandbox.Outcome) { require.EqualValues(t, 1, o.OOMKills) }},
	{name: "filling /", args: []string{"fill", "/", "1"}, wantEnd: sandbox.Exited, wantExitCode: 1},
	{name: "filling /tmp", args: []string{"fill", "/tmp", "4096"}, wantEnd: sandbox.Exited, wantExitCode: 1, verify: requireNoSpace},
	{name: "filling /dev/shm", args: []string{"fill", "/dev/shm", "4096"}, wantEnd: sandbox.Exited, wantExitCode: 1, verify: requireNoSpace},
	{name: "filling /workspace", args: []string{"fill-dirs", "/workspace"}, wantEnd: sandbox.Exited, wantExitCode: 1, verify: requireNoSpace},
	{name: "filling all writable paths", args: []string{"fill-dirs", "/workspace", "/tmp", "/home/agent", "/dev/shm"},
		wantEnd: sandbox.Exited, wantExitCode: 1, verify: requireNoSpace},
	{name: "10 GB of output without a newline", args: []string{"write-stdout", "10737418240"},
		wantEnd: sandbox.OutputLimit, wantExitCode: anyExitCode,
		verify: func(t *testing.T, o sandbox.Outcome) { require.Len(t, o.Stdout, 4<<20) }},
	{name: "ignoring SIGTERM, with a daemonised child that ignores it too", args: []string{"orphan-and-ignore-signals"},
		change: withShortTimeout, wantEnd: sandbox.TimedOut, wantExitCode: 137},
	{name: "leaving a daemonised child behind", args: []string{"orphan", "ignore-signals"}, wantEnd: sandbox.Exited},
	{name: "stopping itself", args: []string{"kill-self", "19"}, change: withShortTimeout, wantEnd: sandbox.TimedOut, wantExitCode: 137},
	{name: "stopping itself, with an idle time-out", args: []string{"kill-self", "19"}, wantEnd: sandbox.NoOutput, wantExitCode: 137,
		change: func(j *sandbox.Job) { j.IdleTimeout = time.Second }},
	{name: "killing init", args: []string{"signal-init"}, wantEnd: sandbox.Exited, wantOutput: `^sent\n$`},
	{name: "limiting init's CPU time", args: []string{"limit-init", "cpu", "1"}, wantEnd: sandbox.Exited, wantOutput: notPermittedTwice},
	{name: "limiting init's descriptors", args: []string{"limit-init", "nofile", "0"}, wantEnd: sandbox.Exited, wantOutput: notPermittedTwice},
	{name: "limiting init's memory", args: []string{"limit-init", "as", "0"}, wantEnd: sandbox.Exited, wantOutput: notPermittedTwice},
	{name: "writing to init's files in /proc", args: []string{"write-init-files"}, wantEnd: sandbox.Exited, wantOutput: `^tried true\n$`},
	{name: "slowing init", args: []string{"slow-init", "2"}, wantEnd: sandbox.Exited, wantOutput: `^slowed true\n$`},
	{name: "finding the executor's secret in environments, /proc and every file",
		args:    []string{"search-secret", "planted-", "in-the-executor"},
		wantEnd: sandbox.Exited, wantOutput: `^searched true found 0\n$`},
	{name: "reaching the Internet, the metadata service, the bridge, IPv6, DNS",
		args: []string{"dial", "tcp", "1.1.1.1:443", "tcp", "169.254.169.254:80", "tcp", "172.17.0.1:22", "tcp", "10.0.0.1:443",
			"udp", "8.8.8.8:53", "tcp", "[2606:4700:4700::1111]:443", "tcp", "[fd00:ec2::254]:80", "tcp", "[fe80::1%lo]:80"},
		wantEnd:    sandbox.Exited,
		wantOutput: `^([^\n]*(unreachable|refused|no route|not permitted|assign|timeout)[^\n]*\n){8}$`},
	{name: "resolving names", args: []string{"lookup-hosts", "example.com", "metadata.google.internal", "host.docker.internal"},
		wantEnd: sandbox.Exited, wantOutput: `^(\S+ 0 true\n){3}$`},
	{name: forbiddenCalls, args: []string{"forbidden-calls"}, wantEnd: sandbox.Exited, wantOutput: `^\d\d calls\n$`},
	{name: "having capabilities", args: []string{"cat", "/proc/self/status"}, wantEnd: sandbox.Exited,
		wantOutput: `CapEff:\t0{16}\n[\s\S]*CapBnd:\t0{16}\n[\s\S]*NoNewPrivs:\t1\nSeccomp:\t2\n`},
	{name: "opening init's descriptors, memory and environment",
		args: []string{"open", "/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/fd/2", "/proc/1/mem", "/proc/1/environ", "/proc/1/root/etc",
			"/proc/1/cwd/x"},
		wantEnd: sandbox.Exited, wantOutput: `^([^\n]*permission denied\n){14}$`},
	{name: "seeing another job's socket", args: []string{"list-sockets"}, wantEnd: sandbox.Exited, wantOutput: `^$`},
	{name: "dialling the socket of a job without egress", args: []string{"dial", "unix", sandbox.EgressSocket, "tcp", sandbox.EgressAddr},
		wantEnd: sandbox.Exited, wantOutput: `^([^\n]*(no such file|refused)[^\n]*\n){2}$`},
	{name: "replacing its own socket", args: []string{"replace-egress-socket"}, wantEnd: sandbox.Exited, wantOutput: `^tried\n$`,
		change: func(j *sandbox.Job) { j.Egress = newGateway(echoBody) }},
	{name: "replacing the output folder with a link", args: []string{"symlink", "/proc/self", sandbox.OutputDir}, wantEnd: sandbox.Exited,
		verify: func(t *testing.T, o sandbox.Outcome) { require.Empty(t, o.Files) }},
	{name: "closing its folders to init", args: []string{"close-dirs", sandbox.WorkspaceDir, sandbox.HomeDir}, wantEnd: sandbox.Exited,
		change: func(j *sandbox.Job) { j.Collect = []string{sandbox.HomeDir + "/session"} },
		verify: func(t *testing.T, o sandbox.Outcome) { require.Equal(t, 2, o.OmittedFileCount) }},
	{name: "forging init's frames", args: []string{"echo"}, wantEnd: sandbox.Exited, wantExitCode: 0, wantOutput: `^ALK2`,
		change: func(j *sandbox.Job) {
			j.Stdin = []byte("ALK2\x00\x00\x00\x26\x00\x00\x00\x00" + `{"seq":2,"kind":"result","result":{}}` + strings.Repeat("\x00", 32))
		}},
	// The pattern has nothing but the frames: only the agent's own output can be written to.
	{name: "writing frames to every descriptor in /proc", args: []string{"write-fds", "ALK2 forged"}, wantEnd: sandbox.Exited,
		wantOutput: `^(ALK2 forged)+\n?`},
}

const forbiddenCalls = "system calls that no job needs: namespaces, mounts, devices, bpf, keys, unusual sockets, io_uring, tracing, root"

const notPermittedTwice = `^(operation not permitted\n){2}$`

func requireNoSpace(t *testing.T, o sandbox.Outcome) {
	t.Helper()
	require.Contains(t, string(o.Stderr), "no space left")
}

func (a attack) job() sandbox.Job {
	job := probe(a.args...)
	if a.change != nil {
		a.change(&job)
	}
	return job
}

func (a attack) check(t *testing.T, out sandbox.Outcome) {
	t.Helper()
	defer func() { require.NoError(t, out.Close()) }()
	require.Equal(t, a.wantEnd, out.EndReason, "%s%s", out.Stdout[:min(len(out.Stdout), 500)], out.Stderr)
	if a.wantExitCode != anyExitCode {
		require.Equal(t, a.wantExitCode, out.ExitCode, "%s", out.Stderr)
	}
	if a.wantOutput != "" {
		require.Regexp(t, regexp.MustCompile(a.wantOutput), string(out.Stdout), "%s", out.Stderr)
	}
	if a.verify != nil {
		a.verify(t, out)
	}
}

func TestAttacksFail(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "planted-in-the-executor")
	require.NoError(t, os.WriteFile(t.TempDir()+"/secret", []byte("planted-in-the-executor"), 0o644))
	d := newDriver(t, Config{})
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			before := totalAlloc()
			out, err := d.Run(t.Context(), a.job())
			require.NoError(t, err)
			a.check(t, out)
			require.Less(t, totalAlloc()-before, uint64(48<<20), "bytes that the executor allocated")
		})
	}
	d.background.Wait()
	require.Empty(t, containers(t, d))
	require.Empty(t, socketDirs(t, d))
}

// totalAlloc returns the number of bytes that this process has ever allocated. The memory in use is never more.
func totalAlloc() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}
