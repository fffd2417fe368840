package guest

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// spareThreads is the number of threads that init starts before the agent. A fork bomb of the agent uses all processes
// of the container. If init's Go runtime could then not start a thread, init would crash. Init blocks in two or three
// system calls at a time.
const spareThreads = 12

// harden protects init from the agent, which runs as the same user. It returns init's OOM score, which it opens before
// that becomes impossible.
func harden() (*oomScore, error) {
	score, err := openOOMScore()
	if err != nil {
		return nil, err
	}
	// The process becomes undumpable. The kernel then refuses /proc/1/fd, /proc/1/mem and ptrace to processes of the
	// same user. So the agent reaches neither the report stream nor the job's secret.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become undumpable: %w", err)
	}
	// The kernel shields PID 1 from fatal signals of its own container only while PID 1 has no handler for them. The Go
	// runtime installs a handler for each signal. With Notify for all signals and no reader of the channel, the signals
	// have no effect. SIGKILL from outside the container still works.
	signal.Notify(make(chan os.Signal, 1))
	startThreads(spareThreads)
	return score, nil
}

// startThreads makes the Go runtime start n threads. The runtime does not end idle threads.
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
