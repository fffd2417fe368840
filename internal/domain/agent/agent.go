// Package agent says what an agent is: instructions and a runtime under a
// name, which any number of executions may use.
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
	Timeout      time.Duration `firestore:"timeout"`
	Budget       Budget        `firestore:"budget"`
	RetryPolicy  RetryPolicy   `firestore:"retry"`
	CreatedAt    time.Time     `firestore:"createdAt"`
	UpdatedAt    time.Time     `firestore:"updatedAt"`
}

// Budget bounds what one run may use of a model; zero fields do not.
type Budget struct {
	MaxTokens  int64   `firestore:"maxTokens"`
	MaxCostUSD float64 `firestore:"maxCostUsd"`
}

// Retry says how often a run whose job fails is tried. What fails for want of
// Airlock's own parts is tried again besides.
type RetryPolicy struct {
	// MaxAttempts is how often in all; 0 and 1: once.
	MaxAttempts int `firestore:"maxAttempts"`
}

// MaxAttempts is the most that Retry.MaxAttempts may be.
const MaxAttempts = 10

// Draft is an agent as a conversation proposes it. It is a suggestion from a
// model: shown, and checked like anybody's input when somebody creates it.
type Draft struct {
	Name         string `json:"name" firestore:"name"`
	Description  string `json:"description,omitempty" firestore:"description,omitempty"`
	Instructions string `json:"instructions" firestore:"instructions"`
	Runtime      string `json:"runtime,omitempty" firestore:"runtime,omitempty"`
	Model        string `json:"model,omitempty" firestore:"model,omitempty"`
}

// Bounds of an agent's texts, in bytes. Instructions are bounded by what the
// Claude Code CLI takes as one argument (Linux: 128 KiB), with room.
const (
	MaxNameBytes         = 200
	MaxDescriptionBytes  = 2000
	MaxInstructionsBytes = 32 << 10
)
