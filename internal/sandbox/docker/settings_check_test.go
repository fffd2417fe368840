package docker

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/cgroup"
	"github.com/airlock-run/airlock/internal/sandbox/selfinspect"
)

// TestGVisor has the results for gVisor, which differ.
func TestCheckSettingsPasses(t *testing.T) {
	d := newDriver(t, Config{})
	checks, err := d.CheckSettings(t.Context(), probeImage)
	require.NoError(t, err)
	require.Len(t, checks, 21)
	for _, c := range checks {
		t.Logf("%-24s %-70s | %s", c.Setting, c.Inspected, c.Observed)
		if !c.Optional {
			require.True(t, c.Passed, "%+v", c)
		}
	}
}

// A wrong setting is detected if either the Engine or the process shows it.
func TestCheckSettingsDetectsDeviation(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("exit", "0"))
	good := out.Record.Settings
	require.True(t, passed(checkSettings(good, validView(good.User), d.runtime, d.uids), "capabilities"))
	for setting, change := range map[string]func(*sandbox.Settings, *selfinspect.View){
		"capabilities":           func(s *sandbox.Settings, _ *selfinspect.View) { s.CapAdd = []string{"SYS_ADMIN"} },
		"no new privileges":      func(_ *sandbox.Settings, v *selfinspect.View) { v.Status["NoNewPrivs"] = "0" },
		"seccomp":                func(s *sandbox.Settings, _ *selfinspect.View) { s.Seccomp = "unconfined" },
		"user":                   func(_ *sandbox.Settings, v *selfinspect.View) { v.Status["Uid"] = "0 0 0 0" },
		"read-only root":         func(_ *sandbox.Settings, v *selfinspect.View) { v.RootWriteResult = "written" },
		"writable paths":         func(_ *sandbox.Settings, v *selfinspect.View) { v.Mounts["/tmp"] = "tmpfs,rw,nosuid,nodev" },
		"host mounts":            func(s *sandbox.Settings, _ *selfinspect.View) { s.Mounts[0].ReadOnly = false },
		"memory":                 func(s *sandbox.Settings, _ *selfinspect.View) { s.MemorySwap = -1 },
		"processes":              func(_ *sandbox.Settings, v *selfinspect.View) { v.Cgroup.PIDs = cgroup.Unlimited },
		"CPU":                    func(_ *sandbox.Settings, v *selfinspect.View) { v.Cgroup.CPU = cgroup.Unlimited },
		"network":                func(_ *sandbox.Settings, v *selfinspect.View) { v.Interfaces = append(v.Interfaces, "eth0") },
		"control group":          func(_ *sandbox.Settings, v *selfinspect.View) { v.CgroupPaths = []string{"/docker/x"} },
		"logs":                   func(s *sandbox.Settings, _ *selfinspect.View) { s.LogDriver = "json-file" },
		"PID and UTS namespaces": func(s *sandbox.Settings, _ *selfinspect.View) { s.PID = "host" },
	} {
		t.Run(setting, func(t *testing.T) {
			s, v := good, validView(good.User)
			s.Mounts = slices.Clone(s.Mounts)
			require.True(t, passed(checkSettings(s, v, d.runtime, d.uids), setting))
			change(&s, &v)
			require.False(t, passed(checkSettings(s, v, d.runtime, d.uids), setting))
		})
	}
}

func passed(checks []SettingCheck, setting string) bool {
	return slices.ContainsFunc(checks, func(c SettingCheck) bool { return c.Setting == setting && c.Passed })
}

// validView returns what a process sees in a sandbox with all settings.
func validView(user string) selfinspect.View {
	uid, _ := parseUser(user)
	ids := fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", uid)
	v := selfinspect.View{
		Status: map[string]string{"NoNewPrivs": "1", "Seccomp": "2", "Uid": ids, "Gid": ids},
		Mounts: map[string]string{
			"/tmp":        "tmpfs,rw,nosuid,nodev,rw,size=131072k",
			"/workspace":  "tmpfs,rw,nosuid,nodev,rw,size=393216k",
			"/home/agent": "tmpfs,rw,nosuid,nodev,rw,size=131072k",
			"/run/output": "tmpfs,rw,nosuid,nodev,noexec,rw,size=163840k",
			egressDir:     "ext4,ro,rw", "/etc/hosts": "ext4,ro,rw", "/etc/hostname": "ext4,ro,rw", "/etc/resolv.conf": "ext4,ro,rw",
			"/etc/passwd": "ext4,ro,rw", "/etc/group": "ext4,ro,rw", "/dev/shm": "tmpfs,rw,size=16384k",
		},
		Interfaces: []string{"lo"}, RootWriteResult: "read-only file system", UserName: "agent", Hostname: "sandbox", Init: "sandbox-init",
		InitOOM: "500", AgentOOM: "1000", Ulimits: map[string]int64{"core": 0, "fsize": maxFileSize, "nofile": maxOpenFiles},
		CgroupPaths: []string{"/"}, Cgroup: cgroup.Limits{Memory: 1 << 30, PIDs: 256, CPU: 1},
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		v.Status[set] = "0000000000000000"
	}
	return v
}
