package guest

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// spareThreads are started before the agent is: a fork bomb that uses up the
// container's processes must not keep init's runtime from getting a thread,
// which it would not survive. Init blocks in two or three calls at a time.
const spareThreads = 12

// harden closes init to the agent, which runs under the same user. It returns
// init's OOM score, opened while it still could be.
func harden() (score *oomScore, err error) {
	score, err = openOOMScore()
	if err != nil {
		return nil, err
	}
	// Undumpable: /proc/1/fd, /proc/1/mem and ptrace are refused to processes
	// of the same user, and with them the report stream and the job's secret.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become undumpable: %w", err)
	}
	// The kernel keeps fatal signals from within the container off PID 1 only
	// while it has no handlers, and the Go runtime installs one for each: with
	// all of them notified, and nobody reading, they have no effect. SIGKILL
	// from outside does.
	signal.Notify(make(chan os.Signal, 1))
	startThreads(spareThreads)
	return score, nil
}

// startThreads makes the runtime own n threads, which it keeps when idle.
func startThreads(n int) {
	var ready, done sync.WaitGroup
	release := make(chan struct{})
	for range n {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready.Done()
			<-release
		})
	}
	ready.Wait()
	close(release)
	done.Wait()
}
