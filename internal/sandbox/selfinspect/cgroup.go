package selfinspect

import (
	"io/fs"
	"strconv"
	"strings"
)

// Group is the control group that a process is in, as far as it is shown.
type Cgroup struct {
	Paths  []string `json:"paths"`  // "/" in a namespace of its own
	Memory int64    `json:"memory"` // bytes
	Swap   int64    `json:"swap"`   // bytes beyond Memory
	PIDs   int64    `json:"pids"`
	CPU    float64  `json:"cpu"` // CPUs
}

// readGroup reads control groups of version 2 or 1 mounted at root. What is not
// shown, as under gVisor, is 0; what is not limited, Unlimited.
func readCgroup(root fs.FS, paths string) Cgroup {
	g := Cgroup{}
	for line := range strings.Lines(paths) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 {
			g.Paths = append(g.Paths, parts[2])
		}
	}
	if _, err := fs.Stat(root, "cgroup.controllers"); err == nil {
		g.Memory, g.PIDs, g.Swap = readLimit(root, "memory.max"), readLimit(root, "pids.max"), Unlimited
		if readFile(root, "memory.swap.max") != "" { // not there without swap accounting
			g.Swap = readLimit(root, "memory.swap.max")
		}
		quota, period, _ := strings.Cut(readFile(root, "cpu.max"), " ")
		g.CPU = cpuLimit(parseLimit(quota), parseLimit(period))
		return g
	}
	g.Memory, g.PIDs = readLimit(root, "memory/memory.limit_in_bytes"), readLimit(root, "pids/pids.max")
	if memoryAndSwap := readLimit(root, "memory/memory.memsw.limit_in_bytes"); memoryAndSwap > 0 {
		g.Swap = memoryAndSwap - g.Memory
	} else {
		g.Swap = Unlimited
	}
	g.CPU = cpuLimit(readLimit(root, "cpu/cpu.cfs_quota_us"), readLimit(root, "cpu/cpu.cfs_period_us"))
	return g
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

func readLimit(root fs.FS, name string) int64 { return parseLimit(readFile(root, name)) }

func readFile(root fs.FS, name string) string {
	raw, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

func parseLimit(s string) int64 {
	if s == "max" {
		return Unlimited
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
