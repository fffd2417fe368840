package docker

import (
	"path/filepath"
	"strconv"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/strslice"
	"github.com/docker/go-units"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Labels on every container. The reaper removes by instance and folder; the
// others are for people.
const (
	labelRole      = "airlock.role"
	labelExecutor  = "airlock.executor"
	labelExecution = "airlock.execution" // not on containers started ahead
	labelInstance  = "airlock.instance"
	labelSocketDir = "airlock.socketdir"

	roleSandbox = "sandbox"
)

// uid is the user and the group of everything in a sandbox.
const uid = 10001

// initPath is where every runtime image has its PID 1.
const initPath = "/sandbox-init"

// shape is what has to be known to start a container, which may be before
// there is a job for it.
type containerSpec struct {
	image  string
	memory int64
	cpus   float64
	pids   int64
}

func newSpec(image string, l sandbox.Limits) containerSpec {
	return containerSpec{image: image, memory: l.Memory, cpus: l.CPUs, pids: l.PIDs}
}

// tmpfs are the writable places of a sandbox. Their sizes fit the default
// memory limit, against which they count; /run/output holds the agent's
// output until init has read it, and must be larger than what ends a job.
var tmpfsMounts = map[string]string{
	"/tmp":        "rw,noexec,nosuid,nodev,size=128m,mode=1777",
	"/workspace":  "rw,exec,nosuid,nodev,size=512m,mode=0700,uid=10001,gid=10001",
	"/home/agent": "rw,exec,nosuid,nodev,size=64m,mode=0700,uid=10001,gid=10001",
	"/run/output": "rw,noexec,nosuid,nodev,size=160m,mode=0700,uid=10001,gid=10001",
}

const (
	maxOpenFiles = 4096      // what the Claude Code CLI needs
	maxFileSize  = 512 << 20 // that of the largest tmpfs
	shmSize      = 16 << 20  // POSIX semaphores, as Python's multiprocessing wants
	oomScoreAdj  = 500       // the kernel prefers a sandbox to the executor
)

// config is the container's part of the settings, the same on every host.
func containerConfig(s containerSpec, labels map[string]string) *container.Config {
	return &container.Config{
		Image:       s.image,
		Entrypoint:  strslice.StrSlice{initPath},
		Cmd:         strslice.StrSlice{},
		User:        strconv.Itoa(uid) + ":" + strconv.Itoa(uid),
		WorkingDir:  "/",
		Hostname:    "sandbox",
		Labels:      labels,
		AttachStdin: true, AttachStdout: true, AttachStderr: true,
		// StdinOnce closes init's input when the executor's connection ends,
		// however it ends, and init then ends the job.
		OpenStdin: true, StdinOnce: true,
		StopSignal: "SIGKILL", // init heeds no other
	}
}

// hostConfig is the wall around the container. folder becomes the egress
// socket's, read-only.
func hostConfig(s containerSpec, ociRuntime, socketDir, seccomp string) *container.HostConfig {
	pids := s.pids
	dockerInit := false
	return &container.HostConfig{
		Runtime:        ociRuntime,
		NetworkMode:    "none",
		IpcMode:        container.IPCModePrivate,
		CgroupnsMode:   container.CgroupnsModePrivate,
		ShmSize:        shmSize,
		CapDrop:        strslice.StrSlice{"ALL"},
		SecurityOpt:    []string{"no-new-privileges", "seccomp=" + seccomp},
		ReadonlyRootfs: true,
		Tmpfs:          tmpfsMounts,
		Mounts: []mount.Mount{{
			Type: mount.TypeBind, Source: socketDir, Target: filepath.Dir(sandbox.EgressSocket), ReadOnly: true,
			BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
		}},
		OomScoreAdj:   oomScoreAdj,
		LogConfig:     container.LogConfig{Type: "none"},
		RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
		Init:          &dockerInit,
		Resources: container.Resources{
			Memory:     s.memory,
			MemorySwap: s.memory, // the sum of both: no swap
			NanoCPUs:   int64(s.cpus * 1e9),
			PidsLimit:  &pids,
			Ulimits: []*units.Ulimit{
				{Name: "nofile", Soft: maxOpenFiles, Hard: maxOpenFiles},
				{Name: "core"},
				{Name: "fsize", Soft: maxFileSize, Hard: maxFileSize},
			},
		},
	}
}
