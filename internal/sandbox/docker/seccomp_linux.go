package docker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// socketFamilies are the address families of the sockets that an agent may create, besides netlink. Of the others,
// AF_ALG reaches the kernel's crypto code, and AF_VSOCK the host of a virtual machine.
var socketFamilies = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6}

// deniedSyscalls are allowed by some versions of Docker's default profile. Agents do not need them.
var deniedSyscalls = []string{
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"socketcall", // its address family is behind a pointer, which a filter cannot read
	// Asynchronous I/O of the kernel has one limit for the host (fs.aio-max-nr), so jobs could meet by it.
	"io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents", "io_pgetevents_time64",
}

// filteredSyscalls are allowed only with some arguments; see seccompProfile.
var filteredSyscalls = []string{"socket", "prlimit64"}

// seccompProfile is the system call filter of every container: the newest default profile of Docker with further
// restrictions. It does not depend on the Engine's version; an old Engine's own profile would allow io_uring.
var seccompProfile = sync.OnceValues(func() (string, error) {
	profile := seccomp.DefaultProfile()
	// Only the machine's own ABI: in another one, system calls have other numbers and arguments.
	for i := range profile.ArchMap {
		profile.ArchMap[i].SubArches = nil
	}
	profile.Syscalls = slices.DeleteFunc(profile.Syscalls, func(rule *seccomp.Syscall) bool {
		rule.Names = slices.DeleteFunc(rule.Names, func(name string) bool {
			return slices.Contains(filteredSyscalls, name) || slices.Contains(deniedSyscalls, name)
		})
		needsCapability := rule.Includes != nil && len(rule.Includes.Caps) > 0
		return len(rule.Names) == 0 || needsCapability
	})
	for _, family := range socketFamilies {
		profile.Syscalls = append(profile.Syscalls, allowWithArgs("socket", map[uint]uint64{0: family}))
	}
	profile.Syscalls = append(profile.Syscalls,
		// Language runtimes list network interfaces with the routing protocol of netlink. The other protocols reach
		// parts of the kernel that no agent needs, such as its audit and its packet filters.
		allowWithArgs("socket", map[uint]uint64{0: unix.AF_NETLINK, 2: unix.NETLINK_ROUTE}),
		// The limits of the calling process only. An agent that could change init's, which runs as the same user, could
		// have the kernel kill it (RLIMIT_CPU), or make its calls fail (RLIMIT_NOFILE).
		allowWithArgs("prlimit64", map[uint]uint64{0: 0}))
	raw, err := json.Marshal(profile)
	if err != nil {
		return "", fmt.Errorf("seccomp profile: %w", err)
	}
	return string(raw), nil
})

// allowWithArgs returns a rule that allows a system call with all these arguments, by their index.
func allowWithArgs(name string, args map[uint]uint64) *seccomp.Syscall {
	rule := &seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow}}
	for _, index := range slices.Sorted(maps.Keys(args)) { // always the same profile, for its digest in receipts
		rule.Args = append(rule.Args, specs.LinuxSeccompArg{Index: index, Value: args[index], Op: specs.OpEqualTo})
	}
	return rule
}
