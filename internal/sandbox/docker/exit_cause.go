package docker

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/events"
	"github.com/docker/docker/api/types/filters"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// exitCause is the reason why a container ended without a result.
type exitCause int

const (
	// causeUnknown covers everything that is not the job's doing, and everything that cannot be known. The job may run
	// again.
	causeUnknown exitCause = iota
	// causeMemory: the kernel killed init to free memory.
	causeMemory
	// causeJob: a process of the job made init end.
	causeJob
)

// initErrorCode is the highest exit code of an init that ended by itself: 0 after its last report, 1 after an error,
// such as a closed connection to the executor. A higher code is a crash (2, of the Go runtime) or a signal (128+n).
const initErrorCode = 1

// findExitCause says why the init of a job exited. Each cause has its own evidence; without it, the cause is unknown:
//
//   - The Engine ended the container (kill, stop, restart, removal): its event log has a "kill" of the container.
//   - The Engine itself restarted, or lost the container: its event log has no "die" of the container.
//   - Init ended by itself, because its connection or something else failed: its exit code is 0 or 1.
//   - The kernel freed memory: SIGKILL, and the host's count of such kills has grown since the job began. The Engine's
//     "OOMKilled" is no evidence. It is also set when a child was killed, and Engine 20.10 does not set it if it learns
//     of the kill after the exit, as happens on a busy host.
//   - The job ended init: anything else after the agent's start. Under gVisor, a process can kill PID 1.
//
// A SIGKILL that somebody sends on the host, without the Engine, counts as one of the last two.
func (r *jobRun) findExitCause(ctx context.Context, exitCode int) (exitCause, error) {
	killed, err := r.driver.killedByEngine(ctx, r.container.id)
	switch {
	case err != nil:
		return causeUnknown, err
	case killed, exitCode <= initErrorCode:
		return causeUnknown, nil
	case exitCode != sandbox.SIGKILLExitCode:
		return causeJob, nil
	}
	switch before, now := r.oomKillsBefore, r.driver.hostOOMKills(); {
	case before < 0 || now < 0:
		return causeUnknown, nil
	case now > before:
		return causeMemory, nil
	case !r.reported: // the agent did not start
		return causeUnknown, nil
	default:
		return causeJob, nil
	}
}

// eventTimeout limits the wait for the Engine's event of an exit that it has already reported.
const eventTimeout = 5 * time.Second

var errNoExitEvent = fmt.Errorf("%w: the container engine does not know why the container ended", ErrLost)

// killedByEngine reports whether the Engine was asked to end a container that has ended. The Engine logs "kill" before
// "die" because it holds the container's lock meanwhile. Its log has the last 256 events, and none from before its own
// start.
func (d *Driver) killedByEngine(ctx context.Context, containerID string) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, eventTimeout, errNoExitEvent)
	defer cancel()
	log, errs := d.api.Events(ctx, events.ListOptions{
		Since: "1", // from the beginning of the log; without it, only events from now on
		Filters: filters.NewArgs(
			filters.Arg("type", string(events.ContainerEventType)), filters.Arg("container", containerID),
			filters.Arg("event", string(events.ActionKill)), filters.Arg("event", string(events.ActionDie)),
		),
	})
	select {
	case event := <-log:
		return event.Action == events.ActionKill, nil
	case err := <-errs:
		return false, engineError(ctx, "read the log of events", err)
	}
}

// readHostOOMKills returns the number of processes that the host's kernel has killed to free memory since its start, in
// any control group; -1: unknown. The Engine has the same host, because of the egress sockets.
func readHostOOMKills() int64 {
	raw, _ := os.ReadFile("/proc/vmstat")
	for line := range strings.Lines(string(raw)) {
		if value, found := strings.CutPrefix(line, "oom_kill "); found {
			if n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}
