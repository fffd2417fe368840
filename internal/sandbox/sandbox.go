// Package sandbox says what one job is given and what comes back from it.
// The containers are made by sandbox/docker; the program that is PID 1 inside
// them is sandbox/guest; sandbox/frame is what the two say to each other.
package sandbox

import (
	"net"
	"time"
)

// Inside a sandbox with a way out, an agent finds it at EgressURL. PID 1 passes
// what comes there on to EgressSocket, behind which Job.Egress listens.
const (
	EgressAddr   = "127.0.0.1:8787"
	EgressURL    = "http://" + EgressAddr
	EgressSocket = "/run/airlock/egress.sock"
)

// Job is everything that one container is given, once.
type Job struct {
	Execution string   // ID of the execution, for labels and logs
	Image     string   // image reference, present on the Engine
	Argv      []string // the agent's program and its arguments; never through a shell
	Env       []string // "KEY=value", besides HOME, PATH, USER and LANG, which init sets
	Stdin     []byte   // the agent's whole standard input
	Files     []File   // laid down before the agent starts
	Timeout   time.Duration
	Limits    Limits
	Egress    Egress // nil: no way out at all
}

// File is laid down in the sandbox before the agent starts, owned by the
// agent's user. Path is absolute and lies below /workspace or /home/agent.
type File struct {
	Path string
	Mode uint32 // permission bits
	Data []byte
}

// Limits bound one container. A zero field means the default of DefaultLimits.
type Limits struct {
	Memory int64 // bytes, tmpfs included; swap is never given
	CPUs   float64
	PIDs   int64
	Output int64 // bytes of standard output kept; the rest is counted, then dropped
}

// DefaultLimits are the limits of SANDBOX.md: what the Claude Code CLI was measured to need, with room.
var DefaultLimits = Limits{Memory: 1 << 30, CPUs: 1, PIDs: 256, Output: 4 << 20}

// Egress serves the sandbox's only way out. Serve owns the listener, and
// returns when it is closed or when Close is called; after Close no request
// of this job is let through any more.
type Egress interface {
	Serve(net.Listener) error
	Close() error
}

// Ended says what brought the agent's run to its end.
type Ended string

// The four ways to end.
const (
	Exited      Ended = "exited"        // the agent's process ended by itself; see ExitCode
	TimedOut    Ended = "timed_out"     // Job.Timeout passed and the container was killed
	OutOfMemory Ended = "out_of_memory" // the kernel killed a process of the container for memory
	OutputLimit Ended = "output_limit"  // more output than the container may write at all
)

// Outcome is what the job did. That the sandbox itself could not do its part
// is never an Outcome but an error.
type Outcome struct {
	Ended     Ended
	ExitCode  int    // as a shell says it: 128+n after signal n
	Stdout    []byte // at most Limits.Output bytes, from the start
	Truncated bool   // Stdout had more
	Stderr    []byte // the last 16 KiB, for people

	AgentStarted time.Duration // from Run's call to the agent's start
	Wall         time.Duration // from the agent's start to its end
	PeakMemory   int64         // bytes
	CPUTime      time.Duration
}
