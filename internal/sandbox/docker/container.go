package docker

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/docker/docker/api/types"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Labels of every container. The reaper selects containers by role, instance and socket folder. The other labels are
// for people.
const (
	labelRole      = "airlock.role"
	labelExecutor  = "airlock.executor"
	labelExecution = "airlock.execution" // not on warm containers
	labelInstance  = "airlock.instance"
	labelSocketDir = "airlock.socketdir"

	roleSandbox = "sandbox"
)

// containerSpec is what must be known to create a container, which may happen before its job exists.
type containerSpec struct {
	image  string
	memory int64
	cpus   float64
	pids   int64
	start  startKey // of the agent in it
}

func newSpec(image string, l sandbox.Limits) containerSpec {
	return containerSpec{image: image, memory: l.Memory, cpus: l.CPUs, pids: l.PIDs}
}

// sandboxContainer is one container from before its creation until after its removal. prepare creates and starts it, a
// jobRun uses it for one job, and discard removes it.
type sandboxContainer struct {
	name      string
	id        string // empty before the creation
	socketDir string // the host's directory of its egress socket
	uid       int    // of all its processes; 0 before announce
	stream    types.HijackedResponse
	secret    []byte // authenticates its reports; nil: no agent has been started in it
	record    sandbox.Record
	// endsByItself means that no job runs: there was none yet, or init has sent its last report. Init then ends when
	// its input ends, so that the removal need not kill it.
	endsByItself bool

	starting   sync.WaitGroup // the goroutine that creates and starts it; it owns the fields above until it ends
	jobWrite   sync.WaitGroup // the goroutine that writes the job frame
	egressDone chan error     // receives the result of Egress.Serve; nil without egress
}

func containerName(name string) string { return "airlock-" + name }

// isWaiting reports whether a container without a job still waits for one. If its init has ended or failed, the stream
// has an end or data to read.
func (c *sandboxContainer) isWaiting() bool {
	if err := c.stream.Conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		return false
	}
	_, err := c.stream.Reader.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded) && c.stream.Conn.SetReadDeadline(time.Time{}) == nil
}

// poll calls check at once and then in each interval. It returns when check returns true or an error, or with the cause
// of ctx when ctx ends.
func poll(ctx context.Context, interval time.Duration, check func() (done bool, err error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if done, err := check(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
