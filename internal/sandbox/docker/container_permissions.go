package docker

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/strslice"
	"github.com/docker/go-units"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// This file and seccomp_linux.go define what a container may do. They are the only place that does. The tests in
// container_permissions_test.go, settings_check_test.go and attack_test.go verify it in a running container.

// initPath is the path of PID 1 in every runtime image.
const initPath = "/sandbox-init"

// userAndGroup returns the user of every process in a container. uid is its user ID and its group ID; see uids.go.
func userAndGroup(uid int) string { return fmt.Sprintf("%[1]d:%[1]d", uid) }

// tmpfsMounts returns the writable paths of a sandbox with this memory limit, in bytes. They count against it. The
// three that belong to the agent have five eighths of it together: when they are full, the agent's programs still have
// the rest, so a full disk is an error of a write, and not the end of the agent. sandbox.StreamDir contains what the
// agent has written and init has not read; package guest ends a job before that fills it.
func tmpfsMounts(uid int, memory int64) map[string]string {
	owner := fmt.Sprintf(",uid=%[1]d,gid=%[1]d", uid)
	eighths := func(n int64) int64 { return memory / 8 * n >> 20 }
	return map[string]string{
		"/tmp":               fmt.Sprintf("rw,exec,nosuid,nodev,size=%dm,mode=1777", eighths(1)),
		sandbox.WorkspaceDir: fmt.Sprintf("rw,exec,nosuid,nodev,size=%dm,mode=0700", sandbox.WorkspaceCapacity(memory)>>20) + owner,
		sandbox.HomeDir:      fmt.Sprintf("rw,exec,nosuid,nodev,size=%dm,mode=0700", eighths(1)) + owner,
		sandbox.StreamDir:    "rw,noexec,nosuid,nodev,size=160m,mode=0700" + owner,
	}
}

// egressDir is the directory of the egress socket in a container.
var egressDir = filepath.Dir(sandbox.EgressSocket)

const (
	hostname = "sandbox"
	userName = "agent"
)

// sandboxFiles returns the files in a container that replace those of the Engine and of the image, by path. They are
// read-only. The source of a mount is visible inside, and the source of the Engine's files would contain the
// container's ID. Programs such as ssh, and os.userInfo of Node, fail for a user without a name.
func sandboxFiles(uid int) map[string]string {
	return map[string]string{
		"/etc/hosts":    "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost\n",
		"/etc/hostname": hostname + "\n",
		// Init answers if the job has a network. If not, nobody does.
		"/etc/resolv.conf": "nameserver 127.0.0.1\noptions attempts:2 timeout:25\n",
		"/etc/passwd":      fmt.Sprintf("root:x:0:0:root:/:/bin/sh\n%[1]s:x:%[2]d:%[2]d::%[3]s:/bin/sh\n", userName, uid, sandbox.HomeDir),
		"/etc/group":       fmt.Sprintf("root:x:0:\n%s:x:%d:\n", userName, uid),
	}
}

const (
	maxOpenFiles = 4096      // the need of the Claude Code CLI
	maxFileSize  = 512 << 20 // a larger file is a mistake: the workspace is not much larger
	shmSize      = 16 << 20  // for POSIX semaphores, which Python's multiprocessing uses
	oomScoreAdj  = 500       // the kernel kills a sandbox before the executor
)

// containerConfig returns the settings that do not depend on the host.
func containerConfig(spec containerSpec, uid int, labels map[string]string) *container.Config {
	return &container.Config{
		Image:      spec.image,
		Entrypoint: strslice.StrSlice{initPath},
		Cmd:        strslice.StrSlice{},
		User:       userAndGroup(uid),
		WorkingDir: "/",
		Hostname:   hostname,
		Labels:     labels,
		// With NetworkMode "none" alone, the Engine would start a copy of itself for each container to set up no network,
		// and would mount its resolv.conf. The OCI runtime brings up the loopback device.
		NetworkDisabled: true,
		Healthcheck:     &container.HealthConfig{Test: []string{"NONE"}}, // the image's would run beside the agent
		AttachStdin:     true, AttachStdout: true, AttachStderr: true,
		// StdinOnce closes init's input when the executor's connection ends, for any reason. Init then ends the job.
		OpenStdin: true, StdinOnce: true,
		StopSignal: "SIGKILL", // init ignores all other signals
	}
}

// hostConfig returns the settings that isolate the container from its host and limit its resources. socketDir is the
// only directory of the host in the container, read-only, with the files of sandboxFiles.
func hostConfig(spec containerSpec, uid int, ociRuntime, socketDir, seccomp string) *container.HostConfig {
	pids := spec.pids
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
		Tmpfs:          tmpfsMounts(uid, spec.memory),
		Mounts:         mounts(socketDir),
		OomScoreAdj:    oomScoreAdj,
		LogConfig:      container.LogConfig{Type: "none"},
		RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
		Init:           &dockerInit,
		Resources: container.Resources{
			Memory:     spec.memory,
			MemorySwap: spec.memory, // memory and swap together, so there is no swap
			NanoCPUs:   int64(spec.cpus * 1e9),
			PidsLimit:  &pids,
			Ulimits: []*units.Ulimit{
				{Name: "nofile", Soft: maxOpenFiles, Hard: maxOpenFiles},
				{Name: "core"},
				{Name: "fsize", Soft: maxFileSize, Hard: maxFileSize},
			},
		},
	}
}

// mounts returns the mounts from a container's directory on the host: the directory itself, for the egress socket, and
// the files of sandboxFiles in it.
func mounts(dir string) []mount.Mount {
	all := []mount.Mount{readOnlyMount(dir, egressDir)}
	for _, path := range slices.Sorted(maps.Keys(sandboxFiles(0))) {
		all = append(all, readOnlyMount(filepath.Join(dir, filepath.Base(path)), path))
	}
	return all
}

func readOnlyMount(source, target string) mount.Mount {
	return mount.Mount{
		Type: mount.TypeBind, Source: source, Target: target, ReadOnly: true,
		BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
	}
}
