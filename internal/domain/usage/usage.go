// Package usage counts what a tenant's executions use: how many there are, their tokens and their cost, by day, agent,
// model and label.
//
// In: executions that have ended. Out: the parts of a day that are stored, and reports over them. A report never reads
// an execution. The package never reads a clock or a database.
package usage

import (
	"cmp"
	"math"
	"time"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Counts are sums over executions that have ended. Money is in whole nano-dollars, so a sum does not depend on its
// order and never drifts; it holds up to nine billion dollars.
type Counts struct {
	Succeeded    int64 `firestore:"succeeded,omitempty"`
	Failed       int64 `firestore:"failed,omitempty"`
	TimedOut     int64 `firestore:"timedOut,omitempty"`
	Canceled     int64 `firestore:"canceled,omitempty"`
	Attempts     int64 `firestore:"attempts,omitempty"`
	InputTokens  int64 `firestore:"inputTokens,omitempty"`
	OutputTokens int64 `firestore:"outputTokens,omitempty"`
	CostNanoUSD  int64 `firestore:"costNanoUsd,omitempty"`
}

// Executions returns the number of executions.
func (c Counts) Executions() int64 { return c.Succeeded + c.Failed + c.TimedOut + c.Canceled }

// Add returns the sum of both.
func (c Counts) Add(o Counts) Counts {
	return Counts{
		Succeeded: c.Succeeded + o.Succeeded, Failed: c.Failed + o.Failed, TimedOut: c.TimedOut + o.TimedOut,
		Canceled: c.Canceled + o.Canceled, Attempts: c.Attempts + o.Attempts, InputTokens: c.InputTokens + o.InputTokens,
		OutputTokens: c.OutputTokens + o.OutputTokens, CostNanoUSD: c.CostNanoUSD + o.CostNanoUSD,
	}
}

// Key is what Counts are stored by. A row of labels has only a Label, since an execution with several labels is in
// several rows.
type Key struct {
	AgentID string          `firestore:"agentId,omitempty"` // empty: the agent builder
	Model   string          `firestore:"model,omitempty"`   // empty: none was chosen, and none ran
	Kind    execution.Kind  `firestore:"kind,omitempty"`
	Lane    execution.Lane  `firestore:"lane,omitempty"`
	Label   execution.Label `firestore:"label,omitempty"`
}

// Other is the agent, model or label of what exceeds the rows that one part of a day holds. No agent or label has this
// name.
const Other = "other"

// nanosPerUSD is the number of nano-dollars in a dollar.
const nanosPerUSD = 1e9

// NanoUSD returns dollars as nano-dollars, rounded.
func NanoUSD(usd float64) int64 { return int64(math.Round(usd * nanosPerUSD)) }

// USD returns nano-dollars as dollars.
func USD(nanos int64) float64 { return float64(nanos) / nanosPerUSD }

// MinLimitUSD and MaxLimitUSD bound a limit of cost: nano-dollars hold neither 1e-12 nor 1e308 dollars.
const (
	MinLimitUSD = 1e-6
	MaxLimitUSD = 1e9
)

// ValidLimit reports whether a limit of cost is within the bounds, or 0, which is no limit.
func ValidLimit(usd float64) bool {
	return usd == 0 || usd >= MinLimitUSD && usd <= MaxLimitUSD
}

// Entry is the usage of one execution.
type Entry struct {
	Tenant string
	Day    string // on which it ended
	Key    Key
	Counts Counts
	Labels []execution.Label
	// DailyBudget is the agent's. The cost of an agent that has one is also summed up for itself.
	DailyBudget agent.DailyBudget
}

// EntryOf returns the usage of an execution that has ended.
func EntryOf(e *execution.Execution) Entry {
	c := Counts{
		Attempts: int64(e.Attempt), InputTokens: e.Usage.InputTokens, OutputTokens: e.Usage.OutputTokens,
		CostNanoUSD: NanoUSD(e.Usage.CostUSD),
	}
	switch e.Status {
	case execution.Succeeded:
		c.Succeeded = 1
	case execution.TimedOut:
		c.TimedOut = 1
	case execution.Canceled:
		c.Canceled = 1
	default:
		c.Failed = 1
	}
	return Entry{
		Tenant: e.Tenant, Day: DayOf(*e.FinishedAt), Counts: c, Labels: e.Labels, DailyBudget: e.Task.DailyBudget,
		Key: Key{AgentID: e.AgentID, Model: cmp.Or(e.Usage.Model, e.Task.Model), Kind: e.Kind, Lane: e.Lane},
	}
}

// DayOf returns the day of UTC, such as 2026-11-30.
func DayOf(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// UntilNextDay returns how long the day of UTC still lasts.
func UntilNextDay(now time.Time) time.Duration {
	const day = 24 * time.Hour
	return now.Truncate(day).Add(day).Sub(now)
}
