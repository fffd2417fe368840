// Package sandbox says what one job is given and what comes back from it.
// The containers are made by sandbox/docker; the program that is PID 1 inside
// them is sandbox/guest; sandbox/frame is what the two say to each other.
package sandbox

import (
	"io"
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
	Execution   string   // ID of the execution, for labels and logs
	Image       string   // image reference, present on the Engine
	Argv        []string // the agent's program and its arguments; never through a shell
	Env         []string // "KEY=value", besides HOME, PATH, USER and LANG, which init sets
	Stdin       []byte   // the agent's whole standard input
	Files       []File   // laid down before the agent starts; MaxFiles bytes in all
	Collect     []string // what comes back besides OutDir, where it is there; see OutFile
	Timeout     time.Duration
	IdleTimeout time.Duration // output that stays away so long ends the job; 0: it may
	Limits      Limits
	Egress      Egress // nil: no way out at all

	// Heard is called with each part of the standard output that is kept, as it
	// comes, by one goroutine at a time. It must not block. nil: nobody listens.
	OnStdout func(part []byte)
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
type EndReason string

// The ways to end. All but the first name the reason of a kill.
const (
	Exited      EndReason = "exited"        // the agent's process ended by itself; see ExitCode
	TimedOut    EndReason = "timed_out"     // Job.Timeout passed and the container was killed
	OutOfMemory EndReason = "out_of_memory" // the kernel killed a process of the container for memory
	OutputLimit EndReason = "output_limit"  // more output than the container may write at all
	NoOutput    EndReason = "no_output"     // nothing was written for as long as Job.Quiet
)

// Outcome is what the job did. That the sandbox itself could not do its part,
// or was told to stop, is never an Outcome but an error; beside an error only
// Record is set, for as much as is known by then.
type Outcome struct {
	EndReason EndReason
	ExitCode  int    // as a shell says it: 128+n after signal n
	Stdout    []byte // at most Limits.Output bytes, from the start
	Truncated bool   // Stdout had more
	Stderr    []byte // the last 16 KiB, for people

	Files            []OutputFile // in the order of their paths; of a job that exited
	OmittedFileCount int          // entries of OutDir that are not among Files: over a bound, no regular file, or a name unfit to pass on
	FilesCloser      io.Closer    // what Files read from, if not memory; see Close

	AgentStarted time.Duration // from Run's call to the agent's start
	Wall         time.Duration // from the agent's start to its end
	PeakMemory   int64         // bytes
	CPUTime      time.Duration

	Record Record
}

// Close lets go of the contents of Files.
func (o Outcome) Close() error {
	if o.FilesCloser == nil {
		return nil
	}
	return o.FilesCloser.Close()
}
