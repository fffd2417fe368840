package cgroup

import (
	"io/fs"
	"strings"
)

// Unlimited is the value of a limit that is not set.
const Unlimited = -1

// Limits are the limits of a control group. A limit that the kernel does not show, as under gVisor, is 0.
type Limits struct {
	Memory int64   `json:"memory"` // bytes
	Swap   int64   `json:"swap"`   // bytes in addition to Memory
	PIDs   int64   `json:"pids"`
	CPU    float64 `json:"cpu"` // number of CPUs
}

// ReadLimits reads the limits of the group at root.
func ReadLimits(root fs.FS) Limits {
	if _, err := fs.Stat(root, "cgroup.controllers"); err == nil {
		return readLimitsV2(root)
	}
	return readLimitsV1(root)
}

func readLimitsV2(root fs.FS) Limits {
	l := Limits{Memory: readLimit(root, "memory.max"), Swap: Unlimited, PIDs: readLimit(root, "pids.max")}
	if swap, ok := readNumber(root, "memory.swap.max"); ok { // the file is missing without swap accounting
		l.Swap = swap
	}
	quota, period, _ := strings.Cut(readString(root, "cpu.max"), " ")
	l.CPU = cpuLimit(parseLimit(quota), parseLimit(period))
	return l
}

func readLimitsV1(root fs.FS) Limits {
	l := Limits{Memory: readLimit(root, "memory/memory.limit_in_bytes"), Swap: Unlimited, PIDs: readLimit(root, "pids/pids.max")}
	if memoryAndSwap := readLimit(root, "memory/memory.memsw.limit_in_bytes"); memoryAndSwap > 0 {
		l.Swap = memoryAndSwap - l.Memory
	}
	l.CPU = cpuLimit(readLimit(root, "cpu/cpu.cfs_quota_us"), readLimit(root, "cpu/cpu.cfs_period_us"))
	return l
}

func cpuLimit(quota, period int64) float64 {
	switch {
	case quota == Unlimited:
		return Unlimited
	case period <= 0:
		return 0
	default:
		return float64(quota) / float64(period)
	}
}

func readLimit(root fs.FS, name string) int64 { return parseLimit(readString(root, name)) }

func parseLimit(s string) int64 {
	n, _ := parseNumber(s)
	return n
}
