package docker

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/inside"
)

// TestSettingsHoldTwice looks at a live container through the Engine and from
// inside. Under other runtimes, what holds is for TestUnderGVisor to say.
func TestSettingsHoldTwice(t *testing.T) {
	d := newDriver(t, Options{})
	proofs, err := d.Prove(t.Context(), probeImage)
	require.NoError(t, err)
	require.Len(t, proofs, 21)
	for _, p := range proofs {
		t.Logf("%-24s %-70s | %s", p.Setting, p.Inspected, p.Inside)
		if !p.Optional {
			require.True(t, p.Holds, "%+v", p)
		}
	}
}

// What is not as it should be is seen, whichever witness says so.
func TestProofsSeeWhatDoesNotHold(t *testing.T) {
	d := newDriver(t, Options{})
	out := run(t, d, probe("exit", "0"))
	good := out.Record.Settings
	require.True(t, holds(proofs(good, goodView(), d.runtime), "capabilities"))
	for setting, spoil := range map[string]func(*sandbox.Settings, *inside.View){
		"capabilities":           func(s *sandbox.Settings, _ *inside.View) { s.CapAdd = []string{"SYS_ADMIN"} },
		"no new privileges":      func(_ *sandbox.Settings, v *inside.View) { v.Status["NoNewPrivs"] = "0" },
		"seccomp":                func(s *sandbox.Settings, _ *inside.View) { s.Seccomp = "unconfined" },
		"user":                   func(_ *sandbox.Settings, v *inside.View) { v.Status["Uid"] = "0 0 0 0" },
		"read-only root":         func(_ *sandbox.Settings, v *inside.View) { v.RootWrite = "written" },
		"writable places":        func(_ *sandbox.Settings, v *inside.View) { v.Mounts["/tmp"] = "tmpfs,rw,nosuid,nodev" },
		"folders of the host":    func(s *sandbox.Settings, _ *inside.View) { s.Mounts[0].ReadOnly = false },
		"memory":                 func(s *sandbox.Settings, _ *inside.View) { s.MemorySwap = -1 },
		"processes":              func(_ *sandbox.Settings, v *inside.View) { v.Group.PIDs = inside.Unlimited },
		"CPU":                    func(_ *sandbox.Settings, v *inside.View) { v.Group.CPU = inside.Unlimited },
		"network":                func(_ *sandbox.Settings, v *inside.View) { v.Interfaces = append(v.Interfaces, "eth0") },
		"control group":          func(_ *sandbox.Settings, v *inside.View) { v.Group.Paths = []string{"/docker/x"} },
		"logs":                   func(s *sandbox.Settings, _ *inside.View) { s.LogDriver = "json-file" },
		"own processes and name": func(s *sandbox.Settings, _ *inside.View) { s.PID = "host" },
	} {
		t.Run(setting, func(t *testing.T) {
			s, v := good, goodView()
			s.Mounts = slices.Clone(s.Mounts)
			require.True(t, holds(proofs(s, v, d.runtime), setting))
			spoil(&s, &v)
			require.False(t, holds(proofs(s, v, d.runtime), setting))
		})
	}
}

func holds(proofs []Proof, setting string) bool {
	return slices.ContainsFunc(proofs, func(p Proof) bool { return p.Setting == setting && p.Holds })
}

// goodView is what a process sees where everything holds.
func goodView() inside.View {
	v := inside.View{
		Status: map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "Uid": fourTimes, "Gid": fourTimes},
		Mounts: map[string]string{
			"/tmp":        "tmpfs,rw,nosuid,nodev,noexec,rw,size=131072k",
			"/workspace":  "tmpfs,rw,nosuid,nodev,rw,size=524288k",
			"/home/agent": "tmpfs,rw,nosuid,nodev,rw,size=65536k",
			"/run/output": "tmpfs,rw,nosuid,nodev,noexec,rw,size=163840k",
			egressFolder:  "ext4,ro,rw", "/dev/shm": "tmpfs,rw,size=16384k",
		},
		Interfaces: []string{"lo"}, RootWrite: "read-only file system", Hostname: "sandbox", Init: "sandbox-init",
		InitOOM: "500", AgentOOM: "1000", Limits: map[string]int64{"core": 0, "fsize": maxFileSize, "nofile": maxOpenFiles},
		Group: inside.Group{Paths: []string{"/"}, Memory: 1 << 30, PIDs: 256, CPU: 1},
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		v.Status[set] = "0000000000000000"
	}
	return v
}
