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

// attack is one thing that a hostile agent tries, in a container of its own.
type attack struct {
	name   string
	args   []string // of the probe image
	change func(*sandbox.Job)

	wantEnd      sandbox.EndReason
	wantExitCode int    // code
	wantOutput   string // pattern of its whole output; empty: whatever
	holds        string // what must be true besides
	verify       func(*testing.T, sandbox.Outcome)
}

// anyCode is for an agent that may notice and end by itself, or be killed first.
const anyExitCode = -1

func withShortTimeout(j *sandbox.Job) { j.Timeout = time.Second }

// attacks is the suite. The attackers are in images/probe.
var attacks = []attack{
	{name: "a fork bomb", args: []string{"fork-bomb"}, wantEnd: sandbox.Exited,
		wantOutput: `^\d+ resource temporarily unavailable\n$`, holds: "the host has its processes still"},
	{name: "2 GiB of memory", args: []string{"allocate", "2048"}, wantEnd: sandbox.OutOfMemory, wantExitCode: 137},
	{name: "2 GiB in a child, and exits 0", args: []string{"child-oom", "2048"}, wantEnd: sandbox.OutOfMemory,
		wantOutput: `child: signal: killed`},
	{name: "filling /", args: []string{"fill", "/", "1"}, wantEnd: sandbox.Exited, wantExitCode: 1},
	{name: "filling /tmp", args: []string{"fill", "/tmp", "4096"}, wantEnd: sandbox.Exited, wantExitCode: 1, verify: requireNoSpace},
	{name: "filling /dev/shm", args: []string{"fill", "/dev/shm", "4096"}, wantEnd: sandbox.Exited, wantExitCode: 1, verify: requireNoSpace},
	// A file may be as large as the folder; it takes a second one to fill it.
	{name: "filling /workspace", args: []string{"fill-folder", "/workspace"}, wantEnd: sandbox.Exited, wantExitCode: 1, verify: requireNoSpace},
	{name: "filling every place at once", args: []string{"fill-folder", "/workspace", "/tmp", "/home/agent", "/dev/shm"},
		change: func(j *sandbox.Job) { j.Limits.Memory = 256 << 20 }, wantEnd: sandbox.OutOfMemory, wantExitCode: 137},
	{name: "10 GB of output without a newline", args: []string{"spam", "10737418240"}, wantEnd: sandbox.OutputLimit, wantExitCode: anyExitCode,
		holds: "4 MiB are kept", verify: func(t *testing.T, o sandbox.Outcome) { require.Len(t, o.Stdout, 4<<20) }},
	{name: "ignoring SIGTERM, with a daemonised child that does too", args: []string{"orphan-and-wait"}, change: withShortTimeout,
		wantEnd: sandbox.TimedOut, wantExitCode: 137},
	{name: "leaving a daemonised child behind", args: []string{"orphan", "stubborn"}, wantEnd: sandbox.Exited},
	{name: "stopping itself", args: []string{"kill-self", "19"}, change: withShortTimeout, wantEnd: sandbox.TimedOut, wantExitCode: 137},
	{name: "stopping itself, unnoticed", args: []string{"kill-self", "19"}, wantEnd: sandbox.NoOutput, wantExitCode: 137,
		change: func(j *sandbox.Job) { j.IdleTimeout = time.Second }},
	{name: "killing init", args: []string{"signal-init"}, wantEnd: sandbox.Exited, wantOutput: `^sent\n$`},
	{name: "finding the executor's secret in environments, /proc and every file", args: []string{"hunt", "planted-", "in-the-executor"},
		wantEnd: sandbox.Exited, wantOutput: `^looked into true found 0\n$`},
	{name: "reaching the Internet, the metadata service, the bridge, IPv6, DNS", wantEnd: sandbox.Exited, wantOutput: `^([^\n]*(unreachable|refused|no route|not permitted|assign|timeout)[^\n]*\n){8}$`,
		args: []string{"dial", "tcp", "1.1.1.1:443", "tcp", "169.254.169.254:80", "tcp", "172.17.0.1:22", "tcp", "10.0.0.1:443",
			"udp", "8.8.8.8:53", "tcp", "[2606:4700:4700::1111]:443", "tcp", "[fd00:ec2::254]:80", "tcp", "[fe80::1%lo]:80"}},
	{name: "resolving names", args: []string{"resolve", "example.com", "metadata.google.internal", "host.docker.internal"},
		wantEnd: sandbox.Exited, wantOutput: `^(\S+ 0 true\n){3}$`},
	{name: "what no job has a use for: namespaces, mounts, devices, bpf, keys, odd sockets, io_uring, tracing, root", args: []string{"forbidden"},
		wantEnd: sandbox.Exited, wantOutput: `^\d\d attempts\n$`},
	{name: "its capabilities", args: []string{"cat", "/proc/self/status"}, wantEnd: sandbox.Exited,
		wantOutput: `CapEff:\t0{16}\n[\s\S]*CapBnd:\t0{16}\n[\s\S]*NoNewPrivs:\t1\nSeccomp:\t2\n`},
	{name: "opening init's descriptors, memory and environment",
		args:    []string{"open", "/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/fd/2", "/proc/1/mem", "/proc/1/environ", "/proc/1/root/etc", "/proc/1/cwd/x"},
		wantEnd: sandbox.Exited, wantOutput: `^([^\n]*permission denied\n){14}$`},
	{name: "seeing another job's socket", args: []string{"sockets"}, wantEnd: sandbox.Exited, wantOutput: `^$`},
	{name: "dialling the socket of a job that has none", args: []string{"dial", "unix", sandbox.EgressSocket, "tcp", sandbox.EgressAddr},
		wantEnd: sandbox.Exited, wantOutput: `^([^\n]*(no such file|refused)[^\n]*\n){2}$`},
	{name: "swapping its own socket for something else", args: []string{"swap"}, wantEnd: sandbox.Exited, wantOutput: `^tried\n$`,
		change: func(j *sandbox.Job) { j.Egress = newGateway(echoBody) }},
	{name: "swapping the output folder for a link", args: []string{"link", "/proc/self", sandbox.OutputDir}, wantEnd: sandbox.Exited,
		holds: "no file comes back", verify: func(t *testing.T, o sandbox.Outcome) { require.Empty(t, o.Files) }},
	{name: "forging init's frames", args: []string{"echo"}, wantEnd: sandbox.Exited, wantExitCode: 0, wantOutput: `^ALK1`,
		change: func(j *sandbox.Job) {
			j.Stdin = []byte("ALK1\x00\x00\x00\x26\x00\x00\x00\x00" + `{"seq":2,"kind":"result","result":{}}` + strings.Repeat("\x00", 32))
		}},
	{name: "writing frames to every descriptor in /proc", args: []string{"write-fds", "ALK1 forged"}, wantEnd: sandbox.Exited,
		wantOutput: `^(ALK1 forged)+\n?`, holds: "only its own output takes them"},
}

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

func TestAttacks(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "planted-in-the-executor")
	require.NoError(t, os.WriteFile(t.TempDir()+"/secret", []byte("planted-in-the-executor"), 0o644))
	d := newDriver(t, Options{})
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

// allocated is what this process ever allocated: what is flat here is flat in memory.
func totalAlloc() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}
