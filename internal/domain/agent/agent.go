// Package agent defines an agent: instructions and a runtime under a name, which any number of executions may use.
//
// It holds the type, the draft that a conversation proposes, and the limits of their texts. It never runs an agent.
package agent

import "time"

// Agent belongs to one tenant. Its Firestore document is this struct.
type Agent struct {
	ID           string        `firestore:"id"`
	Tenant       string        `firestore:"tenant"`
	Name         string        `firestore:"name"`
	Description  string        `firestore:"description,omitempty"`
	Instructions string        `firestore:"instructions"`
	Runtime      string        `firestore:"runtime"`
	Model        string        `firestore:"model,omitempty"` // empty: the runtime's default
	Timeout      time.Duration `firestore:"timeout"`         // of one attempt
	Budget       Budget        `firestore:"budget"`
	DailyBudget  DailyBudget   `firestore:"dailyBudget,omitzero"`
	RetryPolicy  RetryPolicy   `firestore:"retry"`
	// TranscriptRetention is how long a transcript is stored after the end of its execution; nil: as long as the tenant
	// allows. A longer one than that has no effect.
	TranscriptRetention *time.Duration `firestore:"transcriptRetention,omitempty"`

	// EnvironmentID names the environment of the agent's executions, in its version at their acceptance; empty: none.
	EnvironmentID string `firestore:"environmentId,omitempty"`

	// Version counts the changes: 1 is the agent as it was created. An agent that was stored before there were versions
	// has 0, which means 1; the store reads it so.
	Version int `firestore:"version,omitempty"`
	// HasSettings says that Settings is not empty. The document of the agent has only this; the settings, which may be
	// large, are in the document of the version.
	HasSettings bool     `firestore:"hasSettings,omitempty"`
	Settings    Settings `firestore:"settings,omitzero"`

	CreatedAt time.Time `firestore:"createdAt"`
	UpdatedAt time.Time `firestore:"updatedAt"` // when the version was made
}

// WithoutSettings returns what the document of the agent has.
func (a Agent) WithoutSettings() Agent {
	a.Settings = Settings{}
	return a
}

// Budget bounds what one run may use of a model. A zero field is no limit.
type Budget struct {
	MaxTokens  int64   `firestore:"maxTokens"`
	MaxCostUSD float64 `firestore:"maxCostUsd"`
}

// DailyBudget bounds what all executions of an agent together may cost on a day of UTC. A zero field is no limit.
type DailyBudget struct {
	USD     float64 `firestore:"usd,omitempty"`     // after which no attempt of the agent begins on that day
	SoftUSD float64 `firestore:"softUsd,omitempty"` // after which the tenant is warned
}

// RetryPolicy says how often a run is attempted if its job fails. Attempts that fail because of Airlock do not count.
type RetryPolicy struct {
	MaxAttempts int `firestore:"maxAttempts"` // 0 and 1: one attempt
}

// MaxAttempts is the largest value of RetryPolicy.MaxAttempts.
const MaxAttempts = 10

// Draft is an agent that a conversation proposes. It comes from a model, so it is checked like any other input when
// somebody creates an agent from it.
type Draft struct {
	Name         string `json:"name" firestore:"name"`
	Description  string `json:"description,omitempty" firestore:"description,omitempty"`
	Instructions string `json:"instructions" firestore:"instructions"`
	Runtime      string `json:"runtime,omitempty" firestore:"runtime,omitempty"`
	Model        string `json:"model,omitempty" firestore:"model,omitempty"`
}

// Limits of an agent's texts. The Claude Code CLI takes the instructions as one argument, which Linux limits to
// 128 KiB; MaxInstructionsBytes is well below that.
const (
	MaxNameBytes         = 200
	MaxDescriptionBytes  = 2000
	MaxInstructionsBytes = 32 << 10
)
