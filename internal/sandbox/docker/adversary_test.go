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
	tries  string
	agent  []string // of the probe image
	change func(*sandbox.Job)

	ends   sandbox.Ended
	exit   int    // code
	says   string // pattern of its whole output; empty: whatever
	holds  string // what must be true besides
	really func(*testing.T, sandbox.Outcome)
}

// anyCode is for an agent that may notice and end by itself, or be killed first.
const anyCode = -1

func shortly(j *sandbox.Job) { j.Timeout = time.Second }

// attacks is the suite. The attackers are in images/probe.
var attacks = []attack{
	{tries: "a fork bomb", agent: []string{"fork-bomb"}, ends: sandbox.Exited,
		says: `^\d+ resource temporarily unavailable\n$`, holds: "the host has its processes still"},
	{tries: "2 GiB of memory", agent: []string{"allocate", "2048"}, ends: sandbox.OutOfMemory, exit: 137},
	{tries: "2 GiB in a child, and exits 0", agent: []string{"child-oom", "2048"}, ends: sandbox.OutOfMemory,
		says: `child: signal: killed`},
	{tries: "filling /", agent: []string{"fill", "/", "1"}, ends: sandbox.Exited, exit: 1},
	{tries: "filling /tmp", agent: []string{"fill", "/tmp", "4096"}, ends: sandbox.Exited, exit: 1, really: noSpace},
	{tries: "filling /dev/shm", agent: []string{"fill", "/dev/shm", "4096"}, ends: sandbox.Exited, exit: 1, really: noSpace},
	// A file may be as large as the folder; it takes a second one to fill it.
	{tries: "filling /workspace", agent: []string{"fill-folder", "/workspace"}, ends: sandbox.Exited, exit: 1, really: noSpace},
	{tries: "filling every place at once", agent: []string{"fill-folder", "/workspace", "/tmp", "/home/agent", "/dev/shm"},
		change: func(j *sandbox.Job) { j.Limits.Memory = 256 << 20 }, ends: sandbox.OutOfMemory, exit: 137},
	{tries: "10 GB of output without a newline", agent: []string{"spam", "10737418240"}, ends: sandbox.OutputLimit, exit: anyCode,
		holds: "4 MiB are kept", really: func(t *testing.T, o sandbox.Outcome) { require.Len(t, o.Stdout, 4<<20) }},
	{tries: "ignoring SIGTERM, with a daemonised child that does too", agent: []string{"orphan-and-wait"}, change: shortly,
		ends: sandbox.TimedOut, exit: 137},
	{tries: "leaving a daemonised child behind", agent: []string{"orphan", "stubborn"}, ends: sandbox.Exited},
	{tries: "stopping itself", agent: []string{"kill-self", "19"}, change: shortly, ends: sandbox.TimedOut, exit: 137},
	{tries: "stopping itself, unnoticed", agent: []string{"kill-self", "19"}, ends: sandbox.NoOutput, exit: 137,
		change: func(j *sandbox.Job) { j.Quiet = time.Second }},
	{tries: "killing init", agent: []string{"signal-init"}, ends: sandbox.Exited, says: `^sent\n$`},
	{tries: "finding the executor's secret in environments, /proc and every file", agent: []string{"hunt", "planted-", "in-the-executor"},
		ends: sandbox.Exited, says: `^looked into true found 0\n$`},
	{tries: "reaching the Internet, the metadata service, the bridge, IPv6, DNS", ends: sandbox.Exited, says: `^([^\n]*(unreachable|refused|no route|not permitted|assign|timeout)[^\n]*\n){8}$`,
		agent: []string{"dial", "tcp", "1.1.1.1:443", "tcp", "169.254.169.254:80", "tcp", "172.17.0.1:22", "tcp", "10.0.0.1:443",
			"udp", "8.8.8.8:53", "tcp", "[2606:4700:4700::1111]:443", "tcp", "[fd00:ec2::254]:80", "tcp", "[fe80::1%lo]:80"}},
	{tries: "resolving names", agent: []string{"resolve", "example.com", "metadata.google.internal", "host.docker.internal"},
		ends: sandbox.Exited, says: `^(\S+ 0 true\n){3}$`},
	{tries: "what no job has a use for: namespaces, mounts, devices, bpf, keys, odd sockets, io_uring, tracing, root", agent: []string{"forbidden"},
		ends: sandbox.Exited, says: `^\d\d attempts\n$`},
	{tries: "its capabilities", agent: []string{"cat", "/proc/self/status"}, ends: sandbox.Exited,
		says: `CapEff:\t0{16}\n[\s\S]*CapBnd:\t0{16}\n[\s\S]*NoNewPrivs:\t1\nSeccomp:\t2\n`},
	{tries: "opening init's descriptors, memory and environment",
		agent: []string{"open", "/proc/1/fd/0", "/proc/1/fd/1", "/proc/1/fd/2", "/proc/1/mem", "/proc/1/environ", "/proc/1/root/etc", "/proc/1/cwd/x"},
		ends:  sandbox.Exited, says: `^([^\n]*permission denied\n){14}$`},
	{tries: "seeing another job's socket", agent: []string{"sockets"}, ends: sandbox.Exited, says: `^$`},
	{tries: "dialling the socket of a job that has none", agent: []string{"dial", "unix", sandbox.EgressSocket, "tcp", sandbox.EgressAddr},
		ends: sandbox.Exited, says: `^([^\n]*(no such file|refused)[^\n]*\n){2}$`},
	{tries: "swapping its own socket for something else", agent: []string{"swap"}, ends: sandbox.Exited, says: `^tried\n$`,
		change: func(j *sandbox.Job) { j.Egress = newGateway(echoBody) }},
	{tries: "swapping the output folder for a link", agent: []string{"link", "/proc/self", sandbox.OutDir}, ends: sandbox.Exited,
		holds: "no file comes back", really: func(t *testing.T, o sandbox.Outcome) { require.Empty(t, o.Files) }},
	{tries: "forging init's frames", agent: []string{"echo"}, ends: sandbox.Exited, exit: 0, says: `^ALK1`,
		change: func(j *sandbox.Job) {
			j.Stdin = []byte("ALK1\x00\x00\x00\x26\x00\x00\x00\x00" + `{"seq":2,"kind":"result","result":{}}` + strings.Repeat("\x00", 32))
		}},
	{tries: "writing frames to every descriptor in /proc", agent: []string{"write-fds", "ALK1 forged"}, ends: sandbox.Exited,
		says: `^(ALK1 forged)+\n?`, holds: "only its own output takes them"},
}

func noSpace(t *testing.T, o sandbox.Outcome) {
	t.Helper()
	require.Contains(t, string(o.Stderr), "no space left")
}

func (a attack) job() sandbox.Job {
	job := probe(a.agent...)
	if a.change != nil {
		a.change(&job)
	}
	return job
}

func (a attack) check(t *testing.T, out sandbox.Outcome) {
	t.Helper()
	defer func() { require.NoError(t, out.Close()) }()
	require.Equal(t, a.ends, out.Ended, "%s%s", out.Stdout[:min(len(out.Stdout), 500)], out.Stderr)
	if a.exit != anyCode {
		require.Equal(t, a.exit, out.ExitCode, "%s", out.Stderr)
	}
	if a.says != "" {
		require.Regexp(t, regexp.MustCompile(a.says), string(out.Stdout), "%s", out.Stderr)
	}
	if a.really != nil {
		a.really(t, out)
	}
}

func TestAttacksFail(t *testing.T) {
	t.Setenv("ANTHROPIC_API_KEY", "planted-in-the-executor")
	require.NoError(t, os.WriteFile(t.TempDir()+"/secret", []byte("planted-in-the-executor"), 0o644))
	d := newDriver(t, Options{})
	for _, a := range attacks {
		t.Run(a.tries, func(t *testing.T) {
			before := allocated()
			out, err := d.Run(t.Context(), a.job())
			require.NoError(t, err)
			a.check(t, out)
			require.Less(t, allocated()-before, uint64(48<<20), "bytes that the executor allocated")
		})
	}
	d.working.Wait()
	require.Empty(t, containers(t, d))
	require.Empty(t, folders(t, d))
}

// allocated is what this process ever allocated: what is flat here is flat in memory.
func allocated() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}
