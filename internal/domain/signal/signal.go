// Package signal defines the small messages between processes. Each lies in the inbox of one process.
//
// A signal only wakes somebody, who then reads what he needs. So a lost signal costs time and nothing else.
package signal

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Kind says what a signal is about.
type Kind string

// The kinds.
const (
	KindCancel Kind = "cancel" // to the process that runs an execution: stop its job
	KindChange Kind = "change" // to a watcher: an execution was created, started, queued again, or has ended
	KindBudget Kind = "budget" // to a watcher: the soft limit of a daily budget was reached
	KindWake   Kind = "wake"   // to the dispatcher of a tenant: the tenant has waiting work, or its settings have changed
	KindFleet  Kind = "fleet"  // to a process whose partitions have changed: read the fleet document
	KindWatch  Kind = "watch"  // to a process that runs executions of a tenant: Process watches the tenant's changes now
	KindJoin   Kind = "join"   // to the leader: a session has begun or ended
	KindDrain  Kind = "drain"  // to an executor: take no more executions
	KindTurn   Kind = "turn"   // to an executor with an agent waiting for a conversation: a turn came, or it was deleted
)

// Signal is a message for the process To. Its Firestore document, inboxes/{To}/items/{ID}, is this struct.
type Signal struct {
	ID      string    `firestore:"-"` // the name of the document
	To      string    `firestore:"-"`
	Kind    Kind      `firestore:"kind"`
	From    string    `firestore:"from,omitempty"` // a process
	Tenant  string    `firestore:"tenant,omitempty"`
	At      time.Time `firestore:"at,serverTimestamp"`
	Expires time.Time `firestore:"expires"` // Firestore deletes it some time later

	// Change is set for KindChange, KindCancel and KindTurn; without an ExecutionID, the conversation was deleted.
	Change *Change `firestore:"change,omitempty"`
	// Budget is set for KindBudget.
	Budget *Budget `firestore:"budget,omitempty"`
}

// Budget says which soft limit of a daily budget was reached.
type Budget struct {
	AgentID   string  `firestore:"agentId,omitempty"` // empty: the budget of the tenant
	Day       string  `firestore:"day"`
	LimitUSD  float64 `firestore:"limitUsd"`
	SoftLimit float64 `firestore:"softLimit,omitempty"` // LimitUSD as a part of the daily budget; 0: there is none
	SpentUSD  float64 `firestore:"spentUsd"`            // when it was noticed
}

// Change names an execution and says what has become of it. It holds no text of the tenant.
type Change struct {
	ExecutionID    string           `firestore:"executionId"`
	Kind           execution.Kind   `firestore:"kind"`
	Status         execution.Status `firestore:"status"`
	Lane           execution.Lane   `firestore:"lane"`
	Attempt        int              `firestore:"attempt"`
	AgentID        string           `firestore:"agentId,omitempty"`
	BatchID        string           `firestore:"batchId,omitempty"`
	ConversationID string           `firestore:"conversationId,omitempty"`
	Code           execution.Code   `firestore:"code,omitempty"` // of a failure
	CostUSD        float64          `firestore:"costUsd,omitempty"`
	// NextTurn is the execution that was published because this one ended: the next turn of the conversation.
	NextTurn string `firestore:"nextTurn,omitempty"`
}

// TTL is how long a signal is kept for a process that does not read its inbox.
const TTL = time.Hour
