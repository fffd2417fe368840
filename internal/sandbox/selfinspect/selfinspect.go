// Package selfinspect reads what a process in a sandbox sees of its own restrictions: privileges, mounts, network and
// limits. It takes no input except the kernel's files. Its output is a View, which the driver compares with what the
// Engine reports about the container. It judges nothing and fails on nothing: a value that it cannot read stays empty.
package selfinspect

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox/cgroup"
)

// View is what one process sees. A value that could not be read is empty.
type View struct {
	Status          map[string]string `json:"status"`      // /proc/self/status, with single spaces
	Mounts          map[string]string `json:"mounts"`      // "type,options" by path
	Interfaces      []string          `json:"interfaces"`  // names of the network interfaces
	Routes          int               `json:"routes"`      // number of IPv4 routes
	Ulimits         map[string]int64  `json:"ulimits"`     // hard limits by their ulimit name
	CgroupPaths     []string          `json:"cgroupPaths"` // "/" in a private namespace
	Cgroup          cgroup.Limits     `json:"cgroup"`
	UserName        string            `json:"userName"` // of the process's user in /etc/passwd
	Hostname        string            `json:"hostname"`
	Kernel          string            `json:"kernel"`
	Init            string            `json:"init"`     // name of process 1
	InitOOM         string            `json:"initOom"`  // OOM score adjustment of process 1
	AgentOOM        string            `json:"agentOom"` // OOM score adjustment of this process
	AppArmor        string            `json:"appArmor"`
	RootWriteResult string            `json:"rootWriteResult"` // result of an attempt to write to /
}

// Read returns the view of the calling process. It tries to write a file to /, and removes it if that succeeds.
func Read() View {
	host, _ := os.Hostname()
	return View{
		Status: status(), Mounts: mounts(), Interfaces: interfaces(), Routes: routes(), Ulimits: ulimits(),
		CgroupPaths: cgroupPaths(readText("/proc/self/cgroup")), Cgroup: cgroup.ReadLimits(cgroup.Root()),
		UserName: userName(), Hostname: host, Kernel: readText("/proc/sys/kernel/osrelease"), Init: readText("/proc/1/comm"),
		InitOOM: readText("/proc/1/oom_score_adj"), AgentOOM: readText("/proc/self/oom_score_adj"),
		AppArmor: readText("/proc/self/attr/current"), RootWriteResult: tryRootWrite(),
	}
}

func userName() string {
	u, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return ""
	}
	return u.Username
}

func readText(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

func status() map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(readText("/proc/self/status")) {
		key, value, _ := strings.Cut(line, ":")
		values[key] = strings.Join(strings.Fields(value), " ")
	}
	return values
}

// mounts parses mountinfo, which has lines of "id parent dev root path options ... - type source super-options".
func mounts() map[string]string {
	byPath := map[string]string{}
	for line := range strings.Lines(readText("/proc/self/mountinfo")) {
		mount, source, _ := strings.Cut(line, " - ")
		mountFields, sourceFields := strings.Fields(mount), strings.Fields(source)
		if len(mountFields) > 5 && len(sourceFields) > 2 {
			byPath[mountFields[4]] = strings.Join([]string{sourceFields[0], mountFields[5], sourceFields[2]}, ",")
		}
	}
	return byPath
}

func interfaces() []string {
	var names []string
	all, _ := net.Interfaces()
	for _, iface := range all {
		names = append(names, iface.Name)
	}
	slices.Sort(names)
	return names
}

func routes() int {
	return max(0, strings.Count(readText("/proc/net/route"), "\n")) // the first line is a heading
}

func ulimits() map[string]int64 {
	byName := map[string]int64{}
	for name, resource := range map[string]int{
		"nofile": unix.RLIMIT_NOFILE, "core": unix.RLIMIT_CORE, "fsize": unix.RLIMIT_FSIZE,
	} {
		var limit unix.Rlimit
		if unix.Getrlimit(resource, &limit) == nil {
			byName[name] = int64(limit.Max) // "unlimited" becomes -1
		}
	}
	return byName
}

// cgroupPaths parses /proc/self/cgroup, which has lines of "id:controllers:path".
func cgroupPaths(lines string) []string {
	var paths []string
	for line := range strings.Lines(lines) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); len(fields) == 3 {
			paths = append(paths, fields[2])
		}
	}
	return paths
}

// tryRootWrite returns "written", or the reason why / is not writable.
func tryRootWrite() string {
	err := os.WriteFile("/written", nil, 0o600)
	var pathErr *fs.PathError
	switch {
	case err == nil:
		_ = os.Remove("/written")
		return "written"
	case errors.As(err, &pathErr):
		return pathErr.Err.Error()
	default:
		return err.Error()
	}
}
