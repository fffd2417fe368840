package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// limitInit sets a limit of init to a value: "cpu" seconds, "nofile" descriptors, or "as" bytes of memory. It
// tries the process ID 1, and 1 with further bits that the kernel ignores. It prints the results. After it has limited
// the CPU time, it sends signals, which cost init CPU time.
func limitInit(args []string) error {
	resource := map[string]int{"cpu": unix.RLIMIT_CPU, "nofile": unix.RLIMIT_NOFILE, "as": unix.RLIMIT_AS}[args[0]]
	value, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: value, Max: value}
	limited := false
	for _, pid := range []uintptr{1, 1 | 1<<32} {
		err := rawSyscall(unix.SYS_PRLIMIT64, pid, uintptr(resource), pointerTo(&limit), 0)()
		fmt.Println(err)
		limited = limited || err == nil
	}
	for end := time.Now().Add(time.Minute); limited && args[0] == "cpu" && time.Now().Before(end); {
		_ = syscall.Kill(1, syscall.SIGUSR1)
	}
	return nil
}

// writeInitFiles tries to write to each file of init in /proc, and prints those where it succeeded.
func writeInitFiles([]string) error {
	tried := 0
	for _, pattern := range []string{"/proc/1/*", "/proc/1/attr/*", "/proc/1/attr/*/*", "/proc/1/task/*/*", "/proc/1/net/*"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, path := range paths {
			file, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
			tried++
			if err != nil {
				continue
			}
			if _, err := file.WriteString("1"); err == nil {
				fmt.Println("WROTE", path)
			}
			_ = file.Close()
		}
	}
	fmt.Println("tried", tried > 40)
	return nil
}

// slowInit gives init and all its threads the lowest priority and one CPU, starts the given number of processes that
// use all CPU time, and exits.
func slowInit(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	threads, err := filepath.Glob("/proc/1/task/*")
	if err != nil {
		return err
	}
	var oneCPU unix.CPUSet
	oneCPU.Set(0)
	for _, path := range threads {
		tid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			return err
		}
		_ = unix.Setpriority(unix.PRIO_PROCESS, tid, 19)
		_ = unix.SchedSetaffinity(tid, &oneCPU)
		_ = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}, 0)
		_ = rawSyscall(unix.SYS_IOPRIO_SET, 1, uintptr(tid), 3<<13)()
	}
	for range n {
		child := exec.Command(probePath, "spin") //nolint:noctx // the sandbox ends it
		if err := child.Start(); err != nil {
			return err
		}
	}
	fmt.Println("slowed", len(threads) > 0)
	return nil
}

// closeDirs takes all permissions from directories.
func closeDirs(dirs []string) error {
	for _, dir := range dirs {
		if err := os.Chmod(dir, 0); err != nil {
			return err
		}
	}
	return nil
}
