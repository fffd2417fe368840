package docker

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// socketFamilies are the address families of the sockets that an agent may create. Language runtimes list network
// interfaces with netlink. Of the others, AF_ALG reaches the kernel's crypto code, and AF_VSOCK the host of a virtual
// machine.
var socketFamilies = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// deniedSyscalls are allowed by some versions of Docker's default profile. Agents do not need them.
var deniedSyscalls = []string{
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"socketcall", // its address family is behind a pointer, which a filter cannot read
}

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
			return name == "socket" || slices.Contains(deniedSyscalls, name)
		})
		needsCapability := rule.Includes != nil && len(rule.Includes.Caps) > 0
		return len(rule.Names) == 0 || needsCapability
	})
	for _, family := range socketFamilies {
		profile.Syscalls = append(profile.Syscalls, &seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{
			Names:  []string{"socket"},
			Action: specs.ActAllow,
			Args:   []specs.LinuxSeccompArg{{Index: 0, Value: family, Op: specs.OpEqualTo}},
		}})
	}
	raw, err := json.Marshal(profile)
	if err != nil {
		return "", fmt.Errorf("seccomp profile: %w", err)
	}
	return string(raw), nil
})
