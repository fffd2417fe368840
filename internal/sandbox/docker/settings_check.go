package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/selfinspect"
)

// SettingCheck is the check of one setting of a sandbox on this host. It compares two independent sources with what
// container_permissions.go asks for.
type SettingCheck struct {
	Setting   string
	Inspected string // what the Engine reports about a running container
	Observed  string // what a process in the container sees; empty if a process cannot see the setting
	Passed    bool
	Optional  bool // a host without it is usable
}

const settingsCheckTimeout = 20 * time.Second

// CheckSettings runs a container of the image, as for any job, and checks its settings. The image must contain our
// init.
func (d *Driver) CheckSettings(ctx context.Context, image string) ([]SettingCheck, error) {
	out, err := d.Run(ctx, sandbox.Job{
		Execution: "doctor", Image: image, Argv: []string{initPath, "inspect"}, Timeout: settingsCheckTimeout,
	})
	if err != nil {
		return nil, err
	}
	var view selfinspect.View
	if out.ExitCode != 0 || out.EndReason != sandbox.Exited {
		return nil, fmt.Errorf("%w: %s: %s", ErrFault, out.EndReason, out.Stderr)
	}
	if err := json.Unmarshal(out.Stdout, &view); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFault, errors.Join(errors.New("image contains a different sandbox-init"), err))
	}
	checks := checkSettings(out.Record.Settings, view, d.runtime, d.uids)
	for i := range checks {
		// Under another runtime than runc, the process sees a kernel that is not the host's. It shows little of what
		// the host enforces.
		checks[i].Optional = checks[i].Optional || d.runtime != defaultRuntime
	}
	return checks, nil
}

// checkSettings compares the Engine's report s and the process's view v with the expected settings.
func checkSettings(s sandbox.Settings, v selfinspect.View, ociRuntime string, uids sandbox.UIDRange) []SettingCheck {
	cgroup, cgroupPaths := v.Cgroup, slices.Compact(slices.Clone(v.CgroupPaths))
	return []SettingCheck{
		{
			Setting:   "capabilities",
			Inspected: fmt.Sprintf("drop %v, add %v, privileged %t", s.CapDrop, s.CapAdd, s.Privileged),
			Observed:  "effective " + v.Status["CapEff"] + ", bounding " + v.Status["CapBnd"],
			Passed: slices.Equal(s.CapDrop, []string{"ALL"}) && len(s.CapAdd) == 0 && !s.Privileged && s.Devices == 0 &&
				noCapabilities(v),
		}, {
			Setting: "no new privileges", Inspected: fmt.Sprint(s.NoNewPrivs), Observed: v.Status["NoNewPrivs"],
			Passed: s.NoNewPrivs && v.Status["NoNewPrivs"] == "1",
		}, {
			Setting: "seccomp", Inspected: s.Seccomp, Observed: "mode " + v.Status["Seccomp"],
			Passed: strings.HasPrefix(s.Seccomp, "sha256:") && v.Status["Seccomp"] == "2",
		}, {
			Setting: "user", Inspected: s.User, Observed: "uid " + v.Status["Uid"] + ", gid " + v.Status["Gid"] + ", " + v.UserName,
			Passed: userMatches(s.User, v, uids),
		}, {
			Setting: "read-only root", Inspected: fmt.Sprint(s.ReadOnlyRoot), Observed: v.RootWriteResult,
			Passed: s.ReadOnlyRoot && v.RootWriteResult != "written",
		}, {
			Setting: "writable paths", Inspected: formatMounts(s.Tmpfs), Observed: formatMounts(observedTmpfs(v)),
			Passed: tmpfsMatches(s, v),
		}, {
			Setting: "host mounts", Inspected: fmt.Sprint(s.Mounts), Observed: formatMounts(observedHostMounts(v)),
			Passed: hostMountsMatch(s.Mounts, v),
		}, {
			Setting: "memory", Inspected: fmt.Sprintf("%d, with swap %d", s.Memory, s.MemorySwap),
			Observed: fmt.Sprintf("%d, swap %d", cgroup.Memory, cgroup.Swap),
			Passed:   s.Memory > 0 && s.MemorySwap == s.Memory && cgroup.Memory == s.Memory && cgroup.Swap == 0,
		}, {
			Setting: "OOM handling", Inspected: fmt.Sprintf("score %d, kill %t", s.OOMScoreAdj, !s.OOMKillDisabled),
			Observed: "init " + v.InitOOM + ", agent " + v.AgentOOM,
			Passed:   s.OOMScoreAdj == oomScoreAdj && !s.OOMKillDisabled && v.InitOOM == strconv.Itoa(oomScoreAdj) && v.AgentOOM == "1000",
		}, {
			Setting: "CPU", Inspected: fmt.Sprintf("%.2f", float64(s.NanoCPUs)/1e9), Observed: fmt.Sprintf("%.2f", cgroup.CPU),
			Passed: s.NanoCPUs > 0 && int64(cgroup.CPU*1e9) == s.NanoCPUs,
		}, {
			Setting: "processes", Inspected: fmt.Sprint(s.PIDs), Observed: fmt.Sprint(cgroup.PIDs),
			Passed: s.PIDs > 0 && cgroup.PIDs == s.PIDs,
		}, {
			Setting: "ulimits", Inspected: fmt.Sprint(s.Ulimits), Observed: fmt.Sprint(v.Ulimits),
			Passed: s.Ulimits["nofile"] == maxOpenFiles && fmt.Sprint(s.Ulimits) == fmt.Sprint(v.Ulimits),
		}, {
			Setting: "network", Inspected: fmt.Sprintf("%s, disabled %t", s.Network, s.NetworkDisabled), Observed: fmt.Sprintf("%v, %d routes", v.Interfaces, v.Routes),
			Passed: s.Network == "none" && s.NetworkDisabled && onlyLoopback(v) && v.Routes == 0,
		}, {
			Setting: "shared memory", Inspected: fmt.Sprintf("%s, %d", s.IPC, s.ShmSize), Observed: v.Mounts["/dev/shm"],
			Passed: s.IPC == "private" && s.ShmSize == shmSize && hasOption(v.Mounts["/dev/shm"], "size=16384k"),
		}, {
			Setting: "control group", Inspected: s.Cgroup, Observed: strings.Join(cgroupPaths, " "),
			Passed: s.Cgroup == "private" && slices.Equal(cgroupPaths, []string{"/"}),
		}, {
			Setting: "PID and UTS namespaces", Inspected: fmt.Sprintf("pid %q, uts %q, user %q", s.PID, s.UTS, s.UserNS),
			Observed: "process 1 is " + v.Init + " on " + v.Hostname,
			Passed:   s.PID == "" && s.UTS == "" && s.UserNS != "host" && v.Init == "sandbox-init" && v.Hostname == "sandbox",
		},
		{Setting: "logs", Inspected: s.LogDriver, Passed: s.LogDriver == "none"},
		{
			Setting: "removal", Inspected: fmt.Sprintf("restart %q, by the Engine %t", s.Restart, s.AutoRemove),
			Passed: (s.Restart == "no" || s.Restart == "") && !s.AutoRemove,
		},
		{Setting: "runtime", Inspected: s.Runtime + ", Engine " + s.Engine, Observed: "kernel " + v.Kernel, Passed: s.Runtime == ociRuntime},
		{Setting: "image", Inspected: s.ImageID + " " + s.ImageDigest, Passed: strings.HasPrefix(s.ImageID, "sha256:")},
		{
			Setting: "AppArmor", Inspected: s.AppArmor, Observed: v.AppArmor, Optional: true,
			Passed: s.AppArmor == "docker-default" && strings.HasPrefix(v.AppArmor, "docker-default"),
		},
	}
}
