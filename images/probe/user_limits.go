package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// userLimit is a limit of the kernel that counts for each user ID of the host.
type userLimit struct {
	name string
	take func() error // takes a part of what the limit allows, and keeps it
	most int          // number of takes that reach the limit of every kernel
}

// userLimits do not reveal what another user took, if each job has a user ID of its own.
func userLimits() []userLimit {
	return []userLimit{
		{"inotify watches", newWatchTaker(), 1 << 21}, // first, because it needs instances
		{"inotify instances", func() error { _, err := unix.InotifyInit1(0); return err }, 3000},
		{"message queues", takeMessageQueue, 64},
		{"descriptors in flight", takeDescriptorsInFlight, 64},
		{"pages of pipes", takePipe, 1500},
		{"queued signals", takeQueuedSignals, 64},
	}
}

// exhaustUserLimits takes as much as it can of each limit, each in a process of its own because a process may have 4096
// descriptors. It prints for each whether a limit stopped it. Then it posts to the URL, and waits for the answer.
func exhaustUserLimits(args []string) error {
	for _, limit := range userLimits() {
		out, err := startHolder(limit.name)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %s", limit.name, out)
	}
	return post(args)
}

// startHolder starts a process that exhausts one limit, and returns the line that it prints when it has.
func startHolder(limit string) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	_, err = syscall.ForkExec(probePath, []string{probePath, "exhaust-user-limit", limit},
		&syscall.ProcAttr{Files: []uintptr{0, w.Fd(), 2}})
	_ = w.Close()
	if err != nil {
		return "", err
	}
	line := make([]byte, 256)
	n, err := r.Read(line)
	return string(line[:n]), err
}

// exhaustUserLimit exhausts the limit of the argument, prints why it stopped, and sleeps.
func exhaustUserLimit(args []string) error {
	for _, limit := range userLimits() {
		if limit.name != args[0] {
			continue
		}
		err := errors.New("not reached")
		for n := 0; n < limit.most; n++ {
			if takeErr := limit.take(); takeErr != nil {
				err = takeErr
				break
			}
		}
		fmt.Println(err)
		time.Sleep(time.Hour)
	}
	return errors.New("unknown limit")
}

// useUserLimits takes one part of each limit and prints the results.
func useUserLimits([]string) error {
	for _, limit := range userLimits() {
		fmt.Printf("%s: %v\n", limit.name, limit.take())
	}
	// Also the other way: with a limit of its own, a process sees how many processes its user has.
	if err := unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: 64, Max: 64}); err != nil {
		return err
	}
	pid, err := syscall.ForkExec(probePath, []string{probePath, "exit", "0"}, &syscall.ProcAttr{})
	if err == nil {
		_, err = syscall.Wait4(pid, nil, 0, nil)
	}
	fmt.Println("processes:", err)
	return nil
}

// spawnSleepers starts the given number of sleeping processes. Then it posts to the URL, and waits for the answer.
func spawnSleepers(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range n {
		if _, err := syscall.ForkExec(probePath, []string{probePath, "sleep", "1h"}, &syscall.ProcAttr{}); err != nil {
			return err
		}
	}
	return post(args[1:])
}

// newWatchTaker returns a function that adds watches: one for each pair of an instance and a file.
func newWatchTaker() func() error {
	const files = 16 << 10
	var instance, next, created int
	return func() error {
		if next == 0 {
			fd, err := unix.InotifyInit1(0)
			if errors.Is(err, unix.EMFILE) {
				return errNoInstance
			}
			if err != nil {
				return err
			}
			instance = fd
		}
		path := "/tmp/watched-" + strconv.Itoa(next)
		if created < files {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			created++
		}
		next = (next + 1) % files
		_, err := unix.InotifyAddWatch(instance, path, unix.IN_MODIFY)
		return err
	}
}

var errNoInstance = errors.New("no inotify instance for more watches")

var queues int

func takeMessageQueue() error {
	type attributes struct{ flags, maxMessages, messageSize, messages, _, _, _, _ int64 }
	queues++
	name := append([]byte("queue-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(queues)), 0)
	attr := attributes{maxMessages: 10, messageSize: 8192}
	_, _, errno := syscall.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(&name[0])), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR,
		0o600, uintptr(unsafe.Pointer(&attr)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// takeDescriptorsInFlight sends descriptors over a socket that nobody reads.
func takeDescriptorsInFlight() error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	descriptors := make([]int, 250) // the kernel accepts 253 in a message
	for i := range descriptors {
		descriptors[i] = pair[0]
	}
	return unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(descriptors...), nil, unix.MSG_DONTWAIT)
}

// takePipe creates a pipe, and fails if the kernel made it smaller than usual.
func takePipe() error {
	var ends [2]int
	if err := unix.Pipe(ends[:]); err != nil {
		return err
	}
	size, err := unix.FcntlInt(uintptr(ends[0]), unix.F_GETPIPE_SZ, 0)
	if err == nil && size < 64<<10 {
		return fmt.Errorf("pipe of %d bytes", size)
	}
	return err
}

// takeQueuedSignals queues signals that no thread of the process takes.
func takeQueuedSignals() error {
	const signal = 40
	set := uint64(1) << (signal - 1)
	if _, _, errno := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, 0, uintptr(unsafe.Pointer(&set)), 0, 8, 0, 0); errno != 0 {
		return errno
	}
	var info [128]byte
	*(*int32)(unsafe.Pointer(&info[8])) = -1 // si_code: SI_QUEUE
	for range 10_000 {
		_, _, errno := syscall.RawSyscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(os.Getpid()), uintptr(unix.Gettid()), signal,
			uintptr(unsafe.Pointer(&info[0])), 0, 0)
		if errno != 0 {
			return errno
		}
	}
	return nil
}
