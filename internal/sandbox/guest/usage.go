package guest

import (
	"bytes"
	"io/fs"
	"strconv"
	"strings"
	"time"
)

// usage is what the container's control group counted.
type usage struct {
	memory   int64 // peak, bytes; 0: unknown
	cpu      time.Duration
	oomKills int64 // -1: unknown
}

// readUsage reads the control group, version 2 or 1, mounted at root. What
// cannot be read stays unknown: gVisor shows little of it.
func readUsage(root fs.FS) usage {
	u := usage{oomKills: -1}
	if kills, ok := readField(root, "memory.events", "oom_kill"); ok {
		u.oomKills = kills
		u.memory, _ = readInt(root, "memory.peak")
		micros, _ := readField(root, "cpu.stat", "usage_usec")
		u.cpu = time.Duration(micros) * time.Microsecond
		return u
	}
	if kills, ok := readField(root, "memory/memory.oom_control", "oom_kill"); ok {
		u.oomKills = kills
	}
	u.memory, _ = readInt(root, "memory/memory.max_usage_in_bytes")
	for _, dir := range []string{"cpuacct", "cpu,cpuacct", "cpu"} {
		if nanos, ok := readInt(root, dir+"/cpuacct.usage"); ok {
			u.cpu = time.Duration(nanos)
			break
		}
	}
	return u
}

func readInt(root fs.FS, name string) (int64, bool) {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(raw)), 10, 64)
	return n, err == nil
}

// field reads one line of "key value" lines.
func readField(root fs.FS, name, key string) (int64, bool) {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(raw)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
		if k == key {
			n, err := strconv.ParseInt(v, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}
