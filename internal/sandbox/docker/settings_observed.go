package docker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/selfinspect"
)

// userMatches reports whether the Engine has a user of the range, and whether the process sees it: in all IDs (real,
// effective, saved and file system), and by its name.
func userMatches(inspected string, v selfinspect.View, uids sandbox.UIDRange) bool {
	uid, ok := parseUser(inspected)
	ids := fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", uid)
	return ok && uids.Contains(uid) && v.Status["Uid"] == ids && v.Status["Gid"] == ids && v.UserName == userName
}

func noCapabilities(v selfinspect.View) bool {
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if v.Status[set] != "0000000000000000" {
			return false
		}
	}
	return true
}

// onlyLoopback accepts the loopback interface, and the tunnel interfaces that some kernels create in every network
// namespace: these are down, and only a process with a capability could use them.
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

// observedTmpfs returns the mounts of a view at the paths of tmpfsMounts.
func observedTmpfs(v selfinspect.View) map[string]string {
	found := map[string]string{}
	for path := range tmpfsMounts(0, 0) {
		found[path] = v.Mounts[path]
	}
	return found
}

// observedHostMounts returns the mounts of a view at the targets of mounts.
func observedHostMounts(v selfinspect.View) map[string]string {
	found := map[string]string{}
	for _, m := range mounts("") {
		found[m.Target] = v.Mounts[m.Target]
	}
	return found
}

// hostMountsMatch reports whether the Engine has exactly the mounts of mounts, and whether the process sees each of
// them, read-only, and no file of the Engine.
func hostMountsMatch(inspected []sandbox.Mount, v selfinspect.View) bool {
	expected := mounts("")
	observed := observedHostMounts(v)
	if len(inspected) != len(expected) || len(observed) != len(expected) {
		return false
	}
	for _, m := range expected {
		if !slices.Contains(inspected, sandbox.Mount{Target: m.Target, ReadOnly: true}) || !hasOption(observed[m.Target], "ro") {
			return false
		}
	}
	return true
}

// tmpfsMatches reports whether the Engine has exactly the mounts of tmpfsMounts, and whether the process
// sees each of them with its options.
func tmpfsMatches(s sandbox.Settings, v selfinspect.View) bool {
	uid, _ := parseUser(s.User)
	expected := tmpfsMounts(uid, s.Memory)
	if !maps.Equal(s.Tmpfs, expected) {
		return false
	}
	for path, options := range expected {
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
			case "size": // in MiB here, in KiB in the view
				mib, err := strconv.Atoi(strings.TrimSuffix(value, "m"))
				if err != nil || !hasOption(mount, fmt.Sprintf("size=%dk", mib<<10)) {
					return false
				}
			}
		}
	}
	return true
}

// formatMounts returns the mounts in one line.
func formatMounts(mounts map[string]string) string {
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(mounts)) {
		lines = append(lines, path+" "+mounts[path])
	}
	return strings.Join(lines, "; ")
}
