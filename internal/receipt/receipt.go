// Package receipt writes down how one job was kept apart from everything else,
// so that its owner can hold it against what was promised, and signs it where
// the operator has a key. It only arranges facts: those of the sandbox are the
// Engine's and init's, those of the egress the gateway's, and none the agent's.
package receipt

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Version of the form below. A reader of another one has to say so.
const Version = 1

// MaxSize bounds a receipt, in bytes.
const MaxSize = 16 << 10

// Receipt is of the attempt that ended an execution.
type Receipt struct {
	Version   int              `json:"version"`
	Execution string           `json:"execution"`
	Tenant    string           `json:"owner"`
	Attempt   int              `json:"attempt"`
	Executor  string           `json:"executor"`
	Status    execution.Status `json:"status"`
	Code      execution.Code   `json:"code,omitempty"` // of the failure
	Runtime   string           `json:"runtime"`
	Model     string           `json:"model,omitempty"`

	// What the job was given and what it gave, to tell whose receipt this is:
	// SHA-256 in hex, of the input, and of the result's text and output.
	InputSHA256  string `json:"inputSha256"`
	ResultSHA256 string `json:"resultSha256,omitempty"`
	// FilesSHA256 is of the list of files that were kept, as sha256sum writes it
	// from within the output folder: a line "hash  path" for each, in their order.
	FilesSHA256 string `json:"filesSha256,omitempty"`

	Sandbox  *Sandbox `json:"sandbox,omitempty"` // absent: no container was needed
	Egress   Egress   `json:"egress"`
	Timeline Timeline `json:"timeline"`

	Signature *Signature `json:"signature,omitempty"`
}

// Sandbox is the container and what the job did in it.
type Sandbox struct {
	Container string            `json:"container"`
	Warm      bool              `json:"warm"`               // started before the job came
	Settings  *sandbox.Settings `json:"settings,omitempty"` // as the Engine reported them; absent only where they would not fit
	Limits    Limits            `json:"limits"`

	End        string `json:"end"`                // how the agent's run ended: a sandbox.Ended, or "stopped" from outside
	ExitCode   *int   `json:"exitCode,omitempty"` // absent: it had none
	PeakMemory int64  `json:"peakMemoryBytes"`
	CPU        int64  `json:"cpuMs"`
	Wall       int64  `json:"wallMs"`
}

// Limits are what the job was held to.
type Limits struct {
	Memory  int64   `json:"memoryBytes"`
	CPUs    float64 `json:"cpus"`
	PIDs    int64   `json:"pids"`
	Output  int64   `json:"outputBytes"`
	Timeout int64   `json:"timeoutMs"`
}

// Egress is what went through the gateway; all zero where there was no way out.
type Egress struct {
	Calls         int64   `json:"calls"`  // requests that were sent to the model
	Denied        int64   `json:"denied"` // requests that were not
	BytesSent     int64   `json:"bytesSent"`
	BytesReceived int64   `json:"bytesBack"`
	InputTokens   int64   `json:"inputTokens"`
	OutputTokens  int64   `json:"outputTokens"`
	CostUSD       float64 `json:"costUsd"`
}

// Timeline is the way of the execution. The two times are the database's. The
// rest are milliseconds since the claim by the executor's monotonic clock, so
// that no two machines' clocks are compared; absent is what did not happen, or
// not before the receipt was written.
type Timeline struct {
	Queued       time.Time `json:"queued"`
	Claimed      time.Time `json:"claimed"`
	Dispatched   *int64    `json:"dispatchedMs,omitempty"` // the container was given the job
	AgentStarted *int64    `json:"agentStartedMs,omitempty"`
	FirstOutput  *int64    `json:"firstOutputMs,omitempty"`
	Result       *int64    `json:"resultMs,omitempty"`
	Removed      *int64    `json:"removedMs,omitempty"` // the container was seen to be gone
}

// Facts are what a receipt is made of.
type Facts struct {
	Execution *execution.Execution // as it was claimed
	Ending    execution.Ending
	Result    *execution.Result // all of the ending's, where it has one
	Executor  string
	Model     string    // that the job was to use
	Claimed   time.Time // by this machine's clock, when the claim was answered
	Job       sandbox.Job
	Outcome   sandbox.Outcome // beside an error, only its Record counts
	Egress    gateway.Summary
}
