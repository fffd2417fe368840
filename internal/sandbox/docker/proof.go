package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/inside"
)

// Proof is one setting of the sandbox as it holds on this host, said by two
// witnesses that do not know of each other.
type Proof struct {
	Setting   string
	Inspected string // what the Engine reports of a running container
	Inside    string // what a process in it sees; empty where there is nothing to see
	Holds     bool
	Optional  bool // the host may not have it
}

const proofTimeout = 20 * time.Second

// Prove runs a container of the image as any job's would be, and compares what
// it got with what it should have. The image may be any that holds our init.
func (d *Driver) Prove(ctx context.Context, image string) ([]Proof, error) {
	out, err := d.Run(ctx, sandbox.Job{
		Execution: "doctor", Image: image, Argv: []string{initPath, "look"}, Timeout: proofTimeout,
	})
	if err != nil {
		return nil, err
	}
	var view inside.View
	if out.ExitCode != 0 || out.Ended != sandbox.Exited {
		return nil, fmt.Errorf("%w: %s: %s", ErrFault, out.Ended, out.Stderr)
	}
	if err := json.Unmarshal(out.Stdout, &view); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFault, errors.Join(errors.New("image holds another init"), err))
	}
	all := proofs(out.Record.Settings, view, d.runtime)
	for i := range all {
		// Under another runtime than runc the view is of a kernel that is not
		// the host's, and shows little of what the host enforces.
		all[i].Optional = all[i].Optional || d.runtime != defaultRuntime
	}
	return all, nil
}

// proofs is SANDBOX.md's table, row by row.
func proofs(s sandbox.Settings, v inside.View, runtime string) []Proof {
	group := v.Group
	return []Proof{
		{
			Setting:   "capabilities",
			Inspected: fmt.Sprintf("drop %v, add %v, privileged %t", s.CapDrop, s.CapAdd, s.Privileged),
			Inside:    "effective " + v.Status["CapEff"] + ", bounding " + v.Status["CapBnd"],
			Holds:     slices.Equal(s.CapDrop, []string{"ALL"}) && len(s.CapAdd) == 0 && !s.Privileged && s.Devices == 0 && noCapabilities(v),
		}, {
			Setting: "no new privileges", Inspected: fmt.Sprint(s.NoNewPrivs), Inside: v.Status["NoNewPrivs"],
			Holds: s.NoNewPrivs && v.Status["NoNewPrivs"] == "1",
		}, {
			Setting: "seccomp", Inspected: s.Seccomp, Inside: "mode " + v.Status["Seccomp"],
			Holds: strings.HasPrefix(s.Seccomp, "sha256:") && v.Status["Seccomp"] == "2",
		}, {
			Setting: "user", Inspected: s.User, Inside: "uid " + v.Status["Uid"] + ", gid " + v.Status["Gid"],
			Holds: s.User == "10001:10001" && v.Status["Uid"] == fourTimes && v.Status["Gid"] == fourTimes,
		}, {
			Setting: "read-only root", Inspected: fmt.Sprint(s.ReadOnlyRoot), Inside: v.RootWrite,
			Holds: s.ReadOnlyRoot && v.RootWrite != "written",
		}, {
			Setting: "writable places", Inspected: places(s.Tmpfs), Inside: places(tmpfsOf(v)),
			Holds: sameTmpfs(s.Tmpfs, v),
		}, {
			Setting: "folders of the host", Inspected: fmt.Sprint(s.Mounts), Inside: v.Mounts[egressFolder],
			Holds: slices.Equal(s.Mounts, []sandbox.Mount{{Target: egressFolder, ReadOnly: true}}) && hasOption(v.Mounts[egressFolder], "ro"),
		}, {
			Setting: "memory", Inspected: fmt.Sprintf("%d, with swap %d", s.Memory, s.MemorySwap),
			Inside: fmt.Sprintf("%d, swap %d", group.Memory, group.Swap),
			Holds:  s.Memory > 0 && s.MemorySwap == s.Memory && group.Memory == s.Memory && group.Swap == 0,
		}, {
			Setting: "out of memory", Inspected: fmt.Sprintf("score %d, kill %t", s.OOMScoreAdj, !s.OOMKillOff),
			Inside: "init " + v.InitOOM + ", agent " + v.AgentOOM,
			Holds:  s.OOMScoreAdj == oomScore && !s.OOMKillOff && v.InitOOM == "500" && v.AgentOOM == "1000",
		}, {
			Setting: "CPU", Inspected: fmt.Sprintf("%.2f", float64(s.NanoCPUs)/1e9), Inside: fmt.Sprintf("%.2f", group.CPU),
			Holds: s.NanoCPUs > 0 && int64(group.CPU*1e9) == s.NanoCPUs,
		}, {
			Setting: "processes", Inspected: fmt.Sprint(s.PIDs), Inside: fmt.Sprint(group.PIDs),
			Holds: s.PIDs > 0 && group.PIDs == s.PIDs,
		}, {
			Setting: "ulimits", Inspected: fmt.Sprint(s.Ulimits), Inside: fmt.Sprint(v.Limits),
			Holds: s.Ulimits["nofile"] == maxOpenFiles && fmt.Sprint(s.Ulimits) == fmt.Sprint(v.Limits),
		}, {
			Setting: "network", Inspected: s.Network, Inside: fmt.Sprintf("%v, %d routes", v.Interfaces, v.Routes),
			Holds: s.Network == "none" && onlyLoopback(v) && v.Routes == 0,
		}, {
			Setting: "shared memory", Inspected: fmt.Sprintf("%s, %d", s.IPC, s.ShmSize), Inside: v.Mounts["/dev/shm"],
			Holds: s.IPC == "private" && s.ShmSize == shmSize && hasOption(v.Mounts["/dev/shm"], "size=16384k"),
		}, {
			Setting: "control group", Inspected: s.Cgroup, Inside: strings.Join(slices.Compact(slices.Clone(group.Paths)), " "),
			Holds: s.Cgroup == "private" && slices.Equal(slices.Compact(slices.Clone(group.Paths)), []string{"/"}),
		}, {
			Setting: "own processes and name", Inspected: fmt.Sprintf("pid %q, uts %q, user %q", s.PID, s.UTS, s.UserNS),
			Inside: "process 1 is " + v.Init + " on " + v.Hostname,
			Holds:  s.PID == "" && s.UTS == "" && s.UserNS != "host" && v.Init == "sandbox-init" && v.Hostname == "sandbox",
		},
		{Setting: "logs", Inspected: s.LogDriver, Holds: s.LogDriver == "none"},
		{
			Setting: "removal", Inspected: fmt.Sprintf("restart %q, by the Engine %t", s.Restart, s.AutoRemove),
			Holds: (s.Restart == "no" || s.Restart == "") && !s.AutoRemove,
		},
		{Setting: "runtime", Inspected: s.Runtime + ", Engine " + s.Engine, Inside: "kernel " + v.Kernel, Holds: s.Runtime == runtime},
		{Setting: "image", Inspected: s.ImageID + " " + s.ImageDigest, Holds: strings.HasPrefix(s.ImageID, "sha256:")},
		{
			Setting: "AppArmor", Inspected: s.AppArmor, Inside: v.AppArmor, Optional: true,
			Holds: s.AppArmor == "docker-default" && strings.HasPrefix(v.AppArmor, "docker-default"),
		},
	}
}
