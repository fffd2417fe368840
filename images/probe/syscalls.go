package main

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// forbiddenCall is a system call that no job needs. Under runc, the sandbox refuses all of them.
type forbiddenCall struct {
	name string
	call func() error
}

func rawSyscall(number uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		if _, _, errno := syscall.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

func openSocket(family, kind, protocol int) func() error {
	return func() error { _, err := unix.Socket(family, kind, protocol); return err }
}

func pointerTo[T any](v *T) uintptr { return uintptr(unsafe.Pointer(v)) }

var forbiddenCalls = []forbiddenCall{
	{"unshare user namespace", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"unshare mount namespace", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
	{"unshare network namespace", func() error { return unix.Unshare(unix.CLONE_NEWNET) }},
	{"clone into a user namespace", func() error {
		_, err := syscall.ForkExec(probePath, []string{probePath, "exit", "0"},
			&syscall.ProcAttr{Sys: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}})
		return err
	}},
	{"setns to init's network", func() error {
		fd, err := unix.Open("/proc/1/ns/net", unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		return unix.Setns(fd, unix.CLONE_NEWNET)
	}},
	{"mount a tmpfs", func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") }},
	{"remount / writable", func() error { return unix.Mount("none", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
	{"unmount /run/airlock", func() error { return unix.Unmount("/run/airlock", unix.MNT_DETACH) }},
	{"open a mount tree", rawSyscall(unix.SYS_FSOPEN, pointerTo(&[]byte("tmpfs\x00")[0]), 0)},
	{"pivot_root", func() error { return unix.PivotRoot("/tmp", "/tmp") }},
	{"chroot", func() error { return unix.Chroot("/tmp") }},
	{"make a device", func() error { return unix.Mknod("/workspace/mem", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 1))) }},
	{"load a bpf program", rawSyscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, 0, 0)},
	{"make a bpf map", rawSyscall(unix.SYS_BPF, unix.BPF_MAP_CREATE, 0, 0)},
	{"read a keyring", func() error {
		_, err := unix.KeyctlInt(unix.KEYCTL_GET_KEYRING_ID, unix.KEY_SPEC_SESSION_KEYRING, 0, 0, 0)
		return err
	}},
	{"add a key", func() error {
		_, err := unix.AddKey("user", "k", []byte("v"), unix.KEY_SPEC_PROCESS_KEYRING)
		return err
	}},
	{"AF_ALG", openSocket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
	{"AF_VSOCK", openSocket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
	{"AF_PACKET", openSocket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
	{"AF_BLUETOOTH", openSocket(unix.AF_BLUETOOTH, unix.SOCK_RAW, 0)},
	{"AF_XDP", openSocket(unix.AF_XDP, unix.SOCK_RAW, 0)},
	{"the audit's netlink", openSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_AUDIT)},
	{"the firewall's netlink", openSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)},
	{"netlink of socket statistics", openSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG)},
	{"netlink of device events", openSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT)},
	{"generic netlink", openSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC)},
	{"raw IP", openSocket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
	{"io_uring", rawSyscall(unix.SYS_IO_URING_SETUP, 1, pointerTo(new([120]byte)))},
	{"asynchronous I/O", rawSyscall(unix.SYS_IO_SETUP, 1, pointerTo(new(uintptr)))},
	{"userfaultfd", rawSyscall(unix.SYS_USERFAULTFD, 0)},
	{"perf_event_open", rawSyscall(unix.SYS_PERF_EVENT_OPEN, pointerTo(new([128]byte)), 0, ^uintptr(0), ^uintptr(0), 0)},
	{"trace init", func() error { return unix.PtraceAttach(1) }},
	{"read init's memory", func() error {
		buf := make([]byte, 8)
		_, err := unix.ProcessVMReadv(1, []unix.Iovec{{Base: &buf[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		return err
	}},
	{"compare init's descriptors", rawSyscall(unix.SYS_KCMP, 1, uintptr(os.Getpid()), 0, 1, 1)},
	{"move init's memory", rawSyscall(unix.SYS_MIGRATE_PAGES, 1, 1, pointerTo(new(uint64)), pointerTo(new(uint64)))},
	{"read init's locks", rawSyscall(unix.SYS_GET_ROBUST_LIST, 1, pointerTo(new(uintptr)), pointerTo(new(uintptr)))},
	{"take init's descriptors", func() error {
		pidfd, err := unix.PidfdOpen(1, 0)
		if err != nil {
			return err
		}
		_, err = unix.PidfdGetfd(pidfd, 1, 0)
		return err
	}},
	{"load a kernel module", func() error { return unix.FinitModule(0, "", 0) }},
	{"load another kernel", rawSyscall(unix.SYS_KEXEC_LOAD)},
	{"set the clock", func() error { return unix.Settimeofday(&unix.Timeval{Sec: 1}) }},
	{"set the host's name", func() error { return unix.Sethostname([]byte("mine")) }},
	{"reboot", func() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_ON) }},
	{"read the kernel's log", func() error { _, err := unix.Klogctl(3, make([]byte, 16)); return err }},
	{"open a file by its handle", func() error {
		_, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), 0)
		return err
	}},
	{"become root", func() error { return syscall.Setuid(0) }},
	{"become another group", func() error { return syscall.Setgid(0) }},
	{"raise the file limit", func() error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
	}},
	{"write the core pattern", func() error { return os.WriteFile("/proc/sys/kernel/core_pattern", []byte("|/x"), 0) }},
	{"write a SysRq key", func() error { return os.WriteFile("/proc/sysrq-trigger", []byte("h"), 0) }},
	{"raise the memory limit of the own control group", func() error {
		v2 := os.WriteFile("/sys/fs/cgroup/memory.max", []byte("max"), 0)
		if v1 := os.WriteFile("/sys/fs/cgroup/memory/memory.limit_in_bytes", []byte("-1"), 0); v1 == nil {
			return nil
		}
		return v2
	}},
}

// tryForbiddenCalls makes each call, prints those that succeed, and at the end prints the number of calls.
func tryForbiddenCalls([]string) error {
	for _, c := range forbiddenCalls {
		if err := c.call(); err == nil {
			fmt.Println("SUCCEEDED:", c.name)
		} else {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, err)
		}
	}
	fmt.Println(len(forbiddenCalls), "calls")
	return nil
}
