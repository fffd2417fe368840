// Package sandbox defines what goes into one sandboxed job and what comes out: Job and Outcome, with the limits on
// both. It holds types and constants only. It starts no container and imports no other package of the product.
//
// The package docker, below this one, runs a Job in a container and returns its Outcome. The package guest is PID 1 of
// that container. The package frame is the protocol between the two.
package sandbox

import (
	"errors"
	"io"
	"net"
	"time"
)

// An agent in a sandbox with egress sends its requests to EgressURL. Init forwards each connection to EgressSocket,
// where Job.Egress listens.
const (
	EgressAddr   = "127.0.0.1:8787"
	EgressURL    = "http://" + EgressAddr
	EgressSocket = "/run/airlock/egress.sock"
)

// MaxStderrBytes is the length of Outcome.Stderr at most.
const MaxStderrBytes = 16 << 10

// SIGKILLExitCode is the exit code of a process that SIGKILL ended, as a shell reports it: 128 plus the signal's
// number.
const SIGKILLExitCode = 128 + 9

// Job is everything that one container receives.
type Job struct {
	Execution   string         // ID of the execution, for labels and logs
	Image       string         // image reference; the Engine must have the image
	Argv        []string       // the agent's program and its arguments; no shell interprets them
	Env         []string       // "KEY=value", in addition to HOME, PATH, USER and LANG, which init sets
	Stdin       []byte         // the agent's complete standard input
	Files       []File         // input files, MaxFileBytes in total
	Streamed    []StreamedFile // input files of any size, at most MaxStreamed and WorkspaceCapacity
	Collect     []string       // paths of output files outside OutputDir; a missing one is not an error
	Folder      string         // outside OutputDir; its files become one output file, see OutputFile; empty: none
	Timeout     time.Duration  // from the agent's start, without Egress.Waited; 0 means the driver's default
	IdleTimeout time.Duration  // ends a job that writes no output for so long; 0 disables it
	SettleTime  time.Duration  // see Keeper; 0 disables it
	Limits      Limits
	Egress      Egress    // nil: the sandbox has no egress
	Network     *Network  // nil: Egress serves the agent's model only
	Workspace   Workspace // with which WorkspaceDir begins; it is empty if Size is 0
	Ahead       *Ahead    // nil: the agent is not started before its job is known
	MaxSnapshot int64     // bytes of Outcome.Snapshot at most, packed; 0: none is made

	// Keep selects the part of the standard output that Outcome.Stdout has. nil: its first Limits.Output bytes.
	Keep Keeper
	// OnStdout receives each part of the standard output when it arrives: all of it if Keep is set, or else the part that
	// goes into Outcome.Stdout. One goroutine calls it, one call at a time. It must not block. It may be nil.
	OnStdout func(part []byte)
}

// Ahead is of jobs whose agent may be started before the job is known: it waits for its standard input, and reads
// nothing of the job before. A job gets an agent that was started for the same owner, in the same way: with the same
// image, limits, arguments, environment, workspace and Ahead.
type Ahead struct {
	Owner  string // whose agent it is; empty: nothing with which it starts is of a tenant
	Files  []File // that the agent reads when it starts, in addition to Job.Files, which come with the job
	Egress bool   // the job has an egress
	Once   bool   // no later job starts its agent in this way
}

// NoticePath is the file in which an agent can read which hosts it can reach, and why not others.
const NoticePath = "/run/airlock/README"

// Network is of jobs whose Egress is a forward proxy as well. Programs find it at EgressURL. For those that know no
// proxy, the allowed names have loopback addresses, whose connections init passes on to Egress with the name.
type Network struct {
	Ports  []int  // at which some host may be reached
	Notice string // the content of NoticePath
}

// WaitingAgents counts the agents that have been started and wait for a job.
type WaitingAgents struct {
	AnyJob  int `json:"anyJob"`  // of the warm pool
	NextJob int `json:"nextJob"` // each for one job that may come: see Driver.StartAhead
}

// Keeper keeps a part of an agent's standard output. Its memory must be bounded. One goroutine calls it.
type Keeper interface {
	Keep(part []byte) // the next part of the output
	// Settled reports whether the agent has printed its result. If it then prints nothing and calls no model for
	// Job.SettleTime, it is ended, as Settled: it waits for something in the background that does not end.
	Settled() bool
	// Kept returns what was kept, and whether the agent wrote more than could be kept. It is called one time, at the end.
	Kept() (kept []byte, truncated bool)
}

// Limits restrict one container. A zero field means the value of DefaultLimits.
type Limits struct {
	Memory int64 // bytes, tmpfs included; there is no swap
	CPUs   float64
	PIDs   int64 // processes and threads
	Output int64 // bytes of standard output in Outcome.Stdout; further output is counted and dropped
	// Written is how many bytes of standard output and error the agent may write, kept or not. More end the job.
	Written int64
}

// DefaultLimits fit the Claude Code CLI: they are its measured needs plus a margin.
var DefaultLimits = Limits{Memory: 1 << 30, CPUs: 1, PIDs: 256, Output: 4 << 20, Written: 256 << 20}

// Egress serves the only connection of a sandbox to the outside. Serve owns the listener. It returns when the listener
// is closed or Close is called. After Close, no request of this job passes.
type Egress interface {
	Serve(net.Listener) error
	Busy() bool // a request is being answered
	// Waited is the time in which requests have waited for a far side that is not ready, at most MaxWait. It may become
	// less by the time of a request that turns out to be answered. It does not count as the job's own time.
	Waited() time.Duration
	MaxWait() time.Duration
	Close() error
}

// ErrStop is the cause of a context whose end stops a job: the agent gets SIGTERM, then SIGKILL, and what it left is
// in the Outcome. Any other end of the context drops the job.
var ErrStop = errors.New("the job is stopped")

// EndReason is the reason why the agent's run ended.
type EndReason string

// The end reasons. All except Exited and Settled mean that the agent was ended before it had finished.
const (
	Exited      EndReason = "exited"        // the agent's process ended by itself; see ExitCode
	Settled     EndReason = "settled"       // the agent had printed its result and was silent for Job.SettleTime
	Stopped     EndReason = "stopped"       // the caller stopped the job; see ErrStop
	TimedOut    EndReason = "timed_out"     // Job.Timeout expired
	OutOfMemory EndReason = "out_of_memory" // the kernel killed the agent, or init, to free memory
	OutputLimit EndReason = "output_limit"  // the agent wrote more than Limits.Written, or faster than it can be read
	NoOutput    EndReason = "no_output"     // the agent wrote no output for Job.IdleTimeout
	Tampered    EndReason = "tampered"      // the agent made init, PID 1 of its container, end, or forged its reports
)

// Outcome is what the job did. A failure of the sandbox itself, or a cancellation, is an error and never an Outcome.
// With an error, only Record is set, as far as it is known.
type Outcome struct {
	EndReason EndReason
	ExitCode  int    // as a shell reports it: 128+n after signal n
	Stdout    []byte // what Job.Keep has kept, or else the first Limits.Output bytes
	Truncated bool   // the agent wrote more than could be kept
	Stderr    []byte // its beginning and its end, MaxStderrBytes at most, for people

	Files []OutputFile // ordered by path; of a job that was ended by force they may be missing, the last ones first
	// OmittedFileCount is the number of entries of OutputDir that are not in Files: a file over a limit, an entry that is
	// not a regular file, or one with an invalid name.
	OmittedFileCount int
	Snapshot         Snapshot
	FilesCloser      io.Closer // releases the contents of Files and Snapshot; nil if they are in memory

	AgentStarted time.Duration // from the call of Run to the agent's start
	Wall         time.Duration // from the agent's start to its end
	PeakMemory   int64         // bytes
	CPUTime      time.Duration
	OOMKills     int64 // processes of the container that the kernel killed to free memory, as far as it is known

	Record Record
}

// Close releases the contents of Files and Snapshot.
func (o Outcome) Close() error {
	if o.FilesCloser == nil {
		return nil
	}
	return o.FilesCloser.Close()
}
