package receipt

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// endStopped is the EndReason of a job that the executor stopped, which has no outcome.
const endStopped = "stopped"

// New builds the receipt of one attempt.
func New(f Facts) Receipt {
	e := f.Execution
	r := Receipt{
		Version: Version, Execution: e.ID, Tenant: e.Tenant, Attempt: e.Attempt, Executor: f.Executor,
		Status: f.Ending.Status, Runtime: e.Task.Runtime, Model: f.Model,
		InputSHA256: digest(e.Task.Input),
		Sandbox:     newSandbox(f.Job, f.Outcome),
		Egress:      newEgress(f.Egress),
		Network:     newNetwork(f.Ending.Network),
		Timeline:    newTimeline(e, f.Claimed, f.Outcome.Record.Times),
	}
	if env := e.Task.Environment; !env.IsZero() {
		r.Environment = &Environment{ID: env.ID, Version: env.Version}
	}
	if failure := f.Ending.Failure; failure != nil {
		r.Code = failure.Code
	}
	if f.Ending.Result != nil {
		r.ResultSHA256 = digest(f.Result.Text, f.Result.Output)
	}
	if len(f.Ending.Files) > 0 {
		r.FilesSHA256 = digest(fileChecksums(f.Ending.Files))
	}
	return r
}

// digest returns the SHA-256 of the parts in hex, with a NUL between them. No part contains a NUL.
func digest(parts ...string) string {
	h := sha256.New()
	for i, part := range parts {
		if i > 0 {
			h.Write([]byte{0})
		}
		h.Write([]byte(part))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func fileChecksums(files []execution.File) string {
	var lines strings.Builder
	for _, f := range files {
		fmt.Fprintf(&lines, "%x  %s\n", f.Content.SHA256, f.Path)
	}
	return lines.String()
}

func newSandbox(job sandbox.Job, o sandbox.Outcome) *Sandbox {
	if o.Record.Container == "" {
		return nil
	}
	settings, limits := o.Record.Settings, o.Record.Limits
	s := &Sandbox{
		Container: o.Record.Container, Warm: o.Record.Warm, Settings: &settings,
		Limits: Limits{
			Memory: limits.Memory, CPUs: limits.CPUs, PIDs: limits.PIDs, Output: limits.Output,
			Timeout: job.Timeout.Milliseconds(),
		},
		EndReason: endStopped, OOMKills: o.OOMKills, PeakMemory: o.PeakMemory, CPU: o.CPUTime.Milliseconds(), Wall: o.Wall.Milliseconds(),
	}
	if o.EndReason != "" {
		s.EndReason, s.ExitCode = string(o.EndReason), &o.ExitCode
	}
	return s
}

func newEgress(s gateway.Summary) Egress {
	return Egress{
		Calls: s.Calls, Denied: s.Denied, BytesSent: s.BytesSent, BytesReceived: s.BytesReceived,
		InputTokens:  s.Tokens.Total() - s.Tokens.Output,
		OutputTokens: s.Tokens.Output, CostUSD: s.CostUSD, EstimatedCalls: s.EstimatedCalls,
	}
}

func newNetwork(used *execution.NetworkUse) *Network {
	if used == nil {
		return nil
	}
	n := &Network{Hosts: []NetworkHost{}, Refused: len(used.Refused)}
	for _, h := range used.Hosts {
		n.Hosts = append(n.Hosts, NetworkHost{Host: h.Host, Connections: h.Connections, BytesSent: h.Sent, BytesReceived: h.Received})
	}
	return n
}

func newTimeline(e *execution.Execution, claimed time.Time, t sandbox.Times) Timeline {
	sinceClaim := func(at time.Time) *int64 {
		if at.IsZero() {
			return nil
		}
		ms := at.Sub(claimed).Milliseconds()
		return &ms
	}
	timeline := Timeline{
		Queued: e.CreatedAt.UTC(), Dispatched: sinceClaim(t.Dispatched), AgentStarted: sinceClaim(t.AgentStarted),
		FirstOutput: sinceClaim(t.FirstOutput), Result: sinceClaim(t.Result), Removed: sinceClaim(t.Removed),
	}
	if e.StartedAt != nil {
		timeline.Claimed = e.StartedAt.UTC()
	}
	return timeline
}
