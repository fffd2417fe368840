package docker

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/inside"
)

// fourTimes is the user in /proc/self/status: real, effective, saved, file system.
const fourTimes = "10001 10001 10001 10001"

var egressFolder = filepath.Dir(sandbox.EgressSocket)

func noCapabilities(v inside.View) bool {
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if v.Status[set] != "0000000000000000" {
			return false
		}
	}
	return true
}

// onlyLoopback allows for the tunnel devices that some kernels give to every
// network namespace: they are down, and lead nowhere without a capability.
func onlyLoopback(v inside.View) bool {
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
func tmpfsOf(v inside.View) map[string]string {
	found := map[string]string{}
	for place := range tmpfs {
		found[place] = v.Mounts[place]
	}
	return found
}

// sameTmpfs says whether the Engine took our places, all of them and no
// others, and the kernel bounds each as it was asked to.
func sameTmpfs(taken map[string]string, v inside.View) bool {
	if !maps.Equal(taken, tmpfs) {
		return false
	}
	for place, asked := range tmpfs {
		mount := v.Mounts[place]
		if !strings.HasPrefix(mount, "tmpfs,") {
			return false
		}
		for option := range strings.SplitSeq(asked, ",") {
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
func places(mounts map[string]string) string {
	var all []string
	for _, place := range slices.Sorted(maps.Keys(mounts)) {
		all = append(all, place+" "+mounts[place])
	}
	return strings.Join(all, "; ")
}
