//go:build linux

package docker

import (
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// gvisorEngine starts another Engine, with gVisor as one of its runtimes, and loads the probe image into it. The Engine
// has its own network namespace: an Engine without a bridge removes docker0, which may belong to the host's Engine.
func gvisorEngine(t *testing.T) (host string) {
	t.Helper()
	runsc, err := exec.LookPath("runsc")
	if err != nil {
		t.Skip("gVisor is not installed (Debian: apt-get install runsc)")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can start an Engine")
	}
	dir := socketDir(t)
	config := filepath.Join(dir, "daemon.json")
	require.NoError(t, os.WriteFile(config, []byte(`{"runtimes":{"runsc":{"path":"`+runsc+
		`","runtimeArgs":["--network=none","--host-uds=open"]}}}`), 0o600))
	logs, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	defer logs.Close()
	host = "unix://" + dir + "/engine.sock"
	engine := exec.Command("dockerd", "--config-file", config, "--host", host, "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--pidfile", dir+"/pid", "--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false")
	engine.Stdout, engine.Stderr = logs, logs
	engine.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	before := bridgeInterfaces(t)
	require.NoError(t, engine.Start())
	t.Cleanup(func() {
		require.NoError(t, engine.Process.Signal(syscall.SIGTERM))
		_ = engine.Wait()
		require.Equal(t, before, bridgeInterfaces(t), "the network interfaces of the host's Engine did not change")
	})

	gvisorAPI, err := client.NewClientWithOpts(client.WithHost(host), client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	defer gvisorAPI.Close()
	require.Eventually(t, func() bool { _, err := gvisorAPI.Ping(t.Context()); return err == nil }, 30*time.Second, 50*time.Millisecond)
	localAPI := newDriver(t, Config{}).api
	image, err := localAPI.ImageSave(t.Context(), []string{probeImage})
	require.NoError(t, err)
	defer image.Close()
	loaded, err := gvisorAPI.ImageLoad(t.Context(), image)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, loaded.Body)
	require.NoError(t, err)
	require.NoError(t, loaded.Body.Close())
	return host
}

// bridgeInterfaces returns the names of the host's interfaces that belong to an Engine.
func bridgeInterfaces(t *testing.T) []string {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	var names []string
	for _, iface := range all {
		if strings.HasPrefix(iface.Name, "docker") || strings.HasPrefix(iface.Name, "br-") {
			names = append(names, iface.Name)
		}
	}
	return names
}

// gvisorAttacks has the attacks with another result under gVisor (Debian's of December 2022), which has its own kernel.
var gvisorAttacks = map[string]struct {
	change func(*attack)
}{
	"a fork bomb":  {change: endsTampered}, // init cannot start a thread
	"killing init": {change: endsTampered}, // gVisor's kernel lets a process kill PID 1
	// gVisor applies no system call filter, but only the limit of CPU time ends init.
	"limiting init's CPU time":    {change: endsTampered},
	"limiting init's descriptors": {change: func(a *attack) { a.wantOutput = "^(<nil>\n){2}$" }},
	"limiting init's memory":      {change: func(a *attack) { a.wantOutput = "^(<nil>\n){2}$" }},
	// /proc/1/fd is open to the agent, but the agent has no secret to forge a report.
	"writing frames to every descriptor in /proc": {change: endsTampered},
	// The complete sandbox is one process of the host.
	"2 GiB in a child, and exits 0": {change: func(a *attack) {
		a.wantEnd, a.wantExitCode, a.wantOutput, a.verify = sandbox.OutOfMemory, 137, "", nil
	}},
	"having capabilities": {change: func(a *attack) { a.wantOutput = `CapEff:\t0{16}\n[\s\S]*CapBnd:\t0{16}\n[\s\S]*Seccomp:\t0\n` }},
	"opening init's descriptors, memory and environment": {change: func(a *attack) {
		a.wantOutput = `opened /proc/1/fd/1[\s\S]*open /proc/1/mem: permission denied`
	}},
	forbiddenCalls: {change: func(a *attack) {
		// These calls succeed in gVisor's own kernel and do not reach the host's.
		a.wantOutput = `^(SUCCEEDED: (unshare mount namespace|clone into a user namespace|make a device|netlink of device events|read init's locks|read the kernel's log)\n)*\d\d calls\n$`
	}},
}

func endsTampered(a *attack) {
	a.wantEnd, a.wantExitCode, a.wantOutput = sandbox.Tampered, anyExitCode, ""
}

func TestGVisor(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an Engine of its own")
	}
	d := newDriver(t, Config{Host: gvisorEngine(t), Runtime: "runsc"})
	t.Run("settings", func(t *testing.T) {
		checks, err := d.CheckSettings(t.Context(), probeImage)
		require.NoError(t, err)
		var failed []string
		for _, c := range checks {
			t.Logf("%t %-24s %-70s | %s", c.Passed, c.Setting, c.Inspected, c.Observed)
			if !c.Passed && c.Setting != "AppArmor" {
				failed = append(failed, c.Setting)
			}
		}
		// For these settings the process sees gVisor's kernel and not the host's.
		require.Subset(t, []string{
			"no new privileges", "seccomp", "capabilities", "writable paths", "host mounts", "memory", "OOM handling", "CPU",
			"processes", "shared memory", "control group", "network", "ulimits",
		}, failed)
	})
	t.Run("egress", func(t *testing.T) {
		job := probe("post", sandbox.EgressURL)
		job.Stdin = []byte(strings.Repeat("x", 1<<20))
		job.Egress = newGateway(echoBody)
		out := run(t, d, job)
		require.True(t, slices.Equal(job.Stdin, out.Stdout))
	})
	t.Run("network", func(t *testing.T) {
		job, _ := networkJob(t, "fetch", "https://example.com:PORT/", "https://example.org:PORT/")
		out := string(run(t, d, job).Stdout)
		require.Contains(t, out, "200 hello from example.com")
		require.Contains(t, out, "no such host")
	})
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			if gvisor := gvisorAttacks[a.name]; gvisor.change != nil {
				gvisor.change(&a)
			}
			d.hostOOMKills = readHostOOMKills
			if a.wantEnd == sandbox.Tampered { // also if other tests run out of memory meanwhile
				d.hostOOMKills = func() int64 { return 0 }
			}
			out, err := d.Run(t.Context(), a.job())
			require.NoError(t, err)
			a.check(t, out)
		})
	}
	d.background.Wait()
	require.Empty(t, containers(t, d))
}
