// Package inside looks at a sandbox from within: what the kernel says to a
// process there about its privileges, limits and surroundings. It is the second
// witness of a sandbox's settings, beside what the Engine reports.
package selfinspect

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Unlimited is a limit that is not set.
const Unlimited = -1

// View is what one process sees. A field that could not be read is empty.
type View struct {
	Status          map[string]string `json:"status"`     // /proc/self/status, spaces folded
	Mounts          map[string]string `json:"mounts"`     // "type,options" by path
	Interfaces      []string          `json:"interfaces"` // of the network
	Routes          int               `json:"routes"`     // of IPv4
	Limits          map[string]int64  `json:"limits"`     // hard limits by the names of ulimit
	Cgroup          Cgroup            `json:"group"`
	Hostname        string            `json:"hostname"`
	Kernel          string            `json:"kernel"`
	Init            string            `json:"init"`     // name of process 1
	InitOOM         string            `json:"initOom"`  // its OOM score adjustment
	AgentOOM        string            `json:"agentOom"` // this process's own
	AppArmor        string            `json:"appArmor"`
	RootWriteResult string            `json:"rootWrite"` // how an attempt to write to / ended
}

// Look takes the view of the calling process.
func Read() View {
	host, _ := os.Hostname()
	return View{
		Status: status(), Mounts: mounts(), Interfaces: interfaces(), Routes: routes(),
		Limits: limits(), Cgroup: readCgroup(os.DirFS("/sys/fs/cgroup"), readText("/proc/self/cgroup")),
		Hostname: host, Kernel: readText("/proc/sys/kernel/osrelease"), Init: readText("/proc/1/comm"),
		InitOOM: readText("/proc/1/oom_score_adj"), AgentOOM: readText("/proc/self/oom_score_adj"),
		AppArmor: readText("/proc/self/attr/current"), RootWriteResult: tryRootWrite(),
	}
}

func readText(path string) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

func status() map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(readText("/proc/self/status")) {
		key, value, _ := strings.Cut(line, ":")
		found[key] = strings.Join(strings.Fields(value), " ")
	}
	return found
}

// mounts reads mountinfo: "id parent dev root path options ... - type source super".
func mounts() map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(readText("/proc/self/mountinfo")) {
		mount, filesystem, _ := strings.Cut(line, " - ")
		mountFields, sourceFields := strings.Fields(mount), strings.Fields(filesystem)
		if len(mountFields) > 5 && len(sourceFields) > 2 {
			found[mountFields[4]] = strings.Join([]string{sourceFields[0], mountFields[5], sourceFields[2]}, ",")
		}
	}
	return found
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

func limits() map[string]int64 {
	found := map[string]int64{}
	for name, resource := range map[string]int{
		"nofile": unix.RLIMIT_NOFILE, "core": unix.RLIMIT_CORE, "fsize": unix.RLIMIT_FSIZE,
	} {
		var limit unix.Rlimit
		if unix.Getrlimit(resource, &limit) == nil {
			found[name] = int64(limit.Max) // "unlimited" is -1
		}
	}
	return found
}

// writeToRoot says why / cannot be written to; "written" where it can.
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
