package cgroup

import (
	"io/fs"
	"strings"
	"time"
)

// Usage is what a control group has used since its creation.
type Usage struct {
	PeakMemory int64 // bytes; 0: unknown
	CPUTime    time.Duration
	OOMKills   int64 // processes that the kernel killed to free memory; -1: unknown
}

// ReadUsage reads the usage of the group at root. gVisor shows little of it.
func ReadUsage(root fs.FS) Usage {
	if kills, ok := readField(root, "memory.events", "oom_kill"); ok {
		return readUsageV2(root, kills)
	}
	return readUsageV1(root)
}

func readUsageV2(root fs.FS, oomKills int64) Usage {
	u := Usage{OOMKills: oomKills}
	u.PeakMemory, _ = readNumber(root, "memory.peak")
	micros, _ := readField(root, "cpu.stat", "usage_usec")
	u.CPUTime = time.Duration(micros) * time.Microsecond
	return u
}

func readUsageV1(root fs.FS) Usage {
	u := Usage{OOMKills: -1}
	if kills, ok := readField(root, "memory/memory.oom_control", "oom_kill"); ok {
		u.OOMKills = kills
	}
	u.PeakMemory, _ = readNumber(root, "memory/memory.max_usage_in_bytes")
	for _, dir := range []string{"cpuacct", "cpu,cpuacct", "cpu"} {
		if nanos, ok := readNumber(root, dir+"/cpuacct.usage"); ok {
			u.CPUTime = time.Duration(nanos)
			break
		}
	}
	return u
}

// readField reads the value of one key in a file of "key value" lines.
func readField(root fs.FS, name, key string) (n int64, ok bool) {
	for line := range strings.Lines(readString(root, name)) {
		if k, v, _ := strings.Cut(strings.TrimSpace(line), " "); k == key {
			return parseNumber(v)
		}
	}
	return 0, false
}
