// Package receipt records how one job was isolated, so that its tenant can compare the record with what was promised.
// New takes the facts of one attempt, Marshal writes them as canonical JSON and signs them if the operator has a key,
// and Verify checks a receipt of this version or of an older one. The package measures nothing itself: the facts about
// the sandbox come from the Engine and from init, those about the egress from the gateway, and none from the agent.
package receipt

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Version is the version of the format that Marshal writes. Verify also reads the versions before it.
const Version = 3

// MaxSize bounds a receipt, in bytes.
const MaxSize = execution.MaxReceiptBytes

// Receipt describes the attempt that finished an execution.
type Receipt struct {
	Version   int              `json:"version"`
	Execution string           `json:"execution"`
	Tenant    string           `json:"tenant"`
	Attempt   int              `json:"attempt"`
	Executor  string           `json:"executor"`
	Status    execution.Status `json:"status"`
	Code      execution.Code   `json:"code,omitempty"` // of the failure
	Runtime   string           `json:"runtime"`
	Model     string           `json:"model,omitempty"`

	// InputSHA256 and ResultSHA256 tie the receipt to the job: SHA-256 in hex, of the input, and of the result's text
	// and output with a NUL between them.
	InputSHA256  string `json:"inputSha256"`
	ResultSHA256 string `json:"resultSha256,omitempty"`
	// FilesSHA256 is the SHA-256 of the list of stored output files, in the form that sha256sum prints inside the output
	// folder: one line "hash  path" per file, ordered as in the execution.
	FilesSHA256 string `json:"filesSha256,omitempty"`

	Environment *Environment `json:"environment,omitempty"` // since version 3; absent if the execution names none
	Sandbox     *Sandbox     `json:"sandbox,omitempty"`     // absent if no container was needed
	Egress      Egress       `json:"egress"`
	// Network is absent if the job had no network but its model; also in receipts before version 3, when none had.
	Network  *Network `json:"network,omitempty"`
	Timeline Timeline `json:"timeline"`

	Signature *Signature `json:"signature,omitempty"`
}

// Sandbox describes the container and what the job did in it.
type Sandbox struct {
	Container string            `json:"container"`
	Warm      bool              `json:"warm"`               // the container comes from the warm pool
	Settings  *sandbox.Settings `json:"settings,omitempty"` // reported by the Engine; absent if they exceed MaxSize
	Limits    Limits            `json:"limits"`

	EndReason  string `json:"endReason"`          // a sandbox.EndReason, or "stopped" if the executor stopped the job
	ExitCode   *int   `json:"exitCode,omitempty"` // absent if the job was stopped
	OOMKills   int64  `json:"oomKills,omitempty"` // processes that the kernel killed to free memory
	PeakMemory int64  `json:"peakMemoryBytes"`
	CPU        int64  `json:"cpuMs"`
	Wall       int64  `json:"wallMs"`
}

// Limits are the limits that the sandbox enforced on the job.
type Limits struct {
	Memory  int64   `json:"memoryBytes"`
	CPUs    float64 `json:"cpus"`
	PIDs    int64   `json:"pids"`
	Output  int64   `json:"outputBytes"`
	Timeout int64   `json:"timeoutMs"`
}

// Egress counts what went through the gateway. All fields are zero if the runtime has no egress.
type Egress struct {
	Calls         int64   `json:"calls"`  // requests that the gateway sent to the model
	Denied        int64   `json:"denied"` // requests that the gateway denied
	BytesSent     int64   `json:"bytesSent"`
	BytesReceived int64   `json:"bytesReceived"`
	InputTokens   int64   `json:"inputTokens"`
	OutputTokens  int64   `json:"outputTokens"`
	CostUSD       float64 `json:"costUsd"`
	// EstimatedCalls are calls whose tokens and cost are estimated, because they ended before the provider reported them.
	EstimatedCalls int64 `json:"estimatedCalls,omitzero"`
}

// Environment names the version of the environment that the job had.
type Environment struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}

// Network says with whom the job exchanged data, as the gateway counted it.
type Network struct {
	Hosts   []NetworkHost `json:"hosts"`   // by name; one without a name, the last, is the sum of all further hosts
	Refused int           `json:"refused"` // hosts that the job asked for and did not reach, at most 20 are counted
}

// NetworkHost is what went to one host.
type NetworkHost struct {
	Host          string `json:"host"`
	Connections   int    `json:"connections"`
	BytesSent     int64  `json:"bytesSent"`
	BytesReceived int64  `json:"bytesReceived"`
}

// Timeline says when the execution reached each stage. The two times are the database's. The other fields are
// milliseconds since the claim by the executor's monotonic clock, so that no two machines' clocks are compared. A field
// is absent if the stage was not reached before the receipt was written.
type Timeline struct {
	Queued       time.Time `json:"queued"`
	Claimed      time.Time `json:"claimed"`
	Dispatched   *int64    `json:"dispatchedMs,omitempty"` // the executor sent the job to the container
	AgentStarted *int64    `json:"agentStartedMs,omitempty"`
	FirstOutput  *int64    `json:"firstOutputMs,omitempty"`
	Result       *int64    `json:"resultMs,omitempty"`
	Removed      *int64    `json:"removedMs,omitempty"` // the Engine confirmed the removal of the container
}

// Facts are the facts about one attempt that New turns into a receipt.
type Facts struct {
	Execution *execution.Execution // as claimed
	Ending    execution.Ending
	Result    *execution.Result // the complete result, of which Ending may hold only the beginning; nil without a result
	Executor  string
	Model     string    // the model that the job was told to use
	Claimed   time.Time // when the claim returned, by the executor's clock
	Job       sandbox.Job
	Outcome   sandbox.Outcome // only Record is set if the sandbox returned an error
	Egress    gateway.Summary
}
