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

// socketFamilies are what an agent may make sockets of. Netlink is how
// runtimes list network interfaces. Not among them: AF_ALG and AF_VSOCK, which
// lead to the kernel's crypto code and to the host of a virtual machine.
var socketFamilies = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// denied are calls that Docker's profile allows in some of its versions, and
// that agents have no use for.
var deniedSyscalls = []string{
	"io_uring_setup", "io_uring_enter", "io_uring_register",
	"socketcall", // its family is behind a pointer, where no filter sees it
}

// seccompProfile is what the Engine is given: the newest of Docker's default
// profiles, tightened. An old Engine's own would allow io_uring.
var seccompProfile = sync.OnceValues(func() (string, error) {
	profile := seccomp.DefaultProfile()
	// The machine's own ABI alone: in another one, the calls and their filters differ.
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
