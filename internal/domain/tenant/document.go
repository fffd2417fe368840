package tenant

import "time"

// Tenant is what Airlock knows about a tenant as a whole. Its Firestore document is this struct; a tenant without a
// document has the defaults. Several processes write it, each only its own fields.
type Tenant struct {
	Partition int `firestore:"partition"` // fleet.Partition of its name
	Settings  `firestore:"settings"`

	// Backlogged means that a lane waits for the dispatcher. The dispatcher finds its tenants by it.
	Backlogged bool `firestore:"backlogged"`
	// Backlog has the state of each lane.
	Backlog Backlog `firestore:"backlog"`
	// MarkedAt is when a lane was last marked as waiting.
	MarkedAt time.Time `firestore:"markedAt,omitempty"`

	// Watchers are the processes that want to know of every change of the tenant's executions, each until a time.
	Watchers map[string]time.Time `firestore:"watchers,omitempty"`
}

// Settings are what an operator decides for one tenant. A nil or zero field means the default of the installation.
type Settings struct {
	Paused      bool     `firestore:"paused,omitempty"` // no attempt begins
	MaxQueued   *int     `firestore:"maxQueued,omitempty"`
	MaxRunning  *int     `firestore:"maxRunning,omitempty"`
	MaxDailyUSD *float64 `firestore:"maxDailyUsd,omitempty"`
	// SoftLimit is the part of the daily budget, from 0 to 1, after which the tenant is warned; 0: no warning.
	SoftLimit float64 `firestore:"softLimit,omitempty"`
	Weight    float64 `firestore:"weight,omitempty"` // of its share of the slots; 0: 1
	// TranscriptRetention is how long transcripts are stored after the end of their executions, at most: agents may ask
	// for less. 0: they are deleted at once.
	TranscriptRetention *time.Duration `firestore:"transcriptRetention,omitempty"`
	// BudgetExhaustedUntil is set by the dispatcher when the daily budget is used up.
	BudgetExhaustedUntil *time.Time `firestore:"budgetExhaustedUntil,omitempty"`
}

// LaneState says whether executions of a lane wait to be published by the dispatcher.
type LaneState string

// The states.
const (
	LaneIdle     LaneState = ""         // nothing waits: the API publishes directly
	LaneWaiting  LaneState = "waiting"  // the dispatcher publishes
	LaneDraining LaneState = "draining" // nothing was left to publish; the dispatcher looks once more before it is idle
)

// Backlog has the state of each lane.
type Backlog struct {
	Interactive LaneState `firestore:"interactive,omitempty"`
	Batch       LaneState `firestore:"batch,omitempty"`
}
