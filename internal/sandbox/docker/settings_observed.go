package docker

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/selfinspect"
)

// fourTimes is the user in /proc/self/status: real, effective, saved, file system.
const sandboxUIDs = "10001 10001 10001 10001"

var egressDir = filepath.Dir(sandbox.EgressSocket)

func noCapabilities(v selfinspect.View) bool {
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if v.Status[set] != "0000000000000000" {
			return false
		}
	}
	return true
}

// onlyLoopback allows for the tunnel devices that some kernels give to every
// network namespace: they are down, and lead nowhere without a capability.
func onlyLoopback(v selfinspect.View) bool {
	for _, name := range v.Interfaces {
		switch name {
		case "lo", "tunl0", "sit0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "ip6gre0":
		default:
			return false
		}
	}
	return len(v.Interfaces) > 0
}

func hasOption(mount, option string) bool {
	return slices.Contains(strings.Split(mount, ","), option)
}

// tmpfsOf are the mounts of a view at the places that are ours.
func observedTmpfs(v selfinspect.View) map[string]string {
	found := map[string]string{}
	for path := range tmpfsMounts {
		found[path] = v.Mounts[path]
	}
	return found
}

// sameTmpfs says whether the Engine took our places, all of them and no
// others, and the kernel bounds each as it was asked to.
func tmpfsMatches(inspected map[string]string, v selfinspect.View) bool {
	if !maps.Equal(inspected, tmpfsMounts) {
		return false
	}
	for path, options := range tmpfsMounts {
		mount := v.Mounts[path]
		if !strings.HasPrefix(mount, "tmpfs,") {
			return false
		}
		for option := range strings.SplitSeq(options, ",") {
			switch name, value, _ := strings.Cut(option, "="); name {
			case "nosuid", "nodev", "noexec":
				if !hasOption(mount, name) {
					return false
				}
			case "size": // asked for in MiB, told in KiB
				mib, err := strconv.Atoi(strings.TrimSuffix(value, "m"))
				if err != nil || !hasOption(mount, fmt.Sprintf("size=%dk", mib<<10)) {
					return false
				}
			}
		}
	}
	return true
}

// places writes mounts on one line.
func formatMounts(mounts map[string]string) string {
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(mounts)) {
		lines = append(lines, path+" "+mounts[path])
	}
	return strings.Join(lines, "; ")
}
