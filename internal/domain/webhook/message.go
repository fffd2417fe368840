package webhook

import (
	"encoding/json"
	"time"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Type says what has happened.
type Type string

// The types there are.
const (
	ExecutionSucceeded Type = "execution.succeeded"
	ExecutionFailed    Type = "execution.failed"
	ExecutionTimedOut  Type = "execution.timed_out"
	ExecutionCanceled  Type = "execution.canceled"
	BatchEnded         Type = "batch.finished"
)

// message is the body: which resource has ended and how, and where to read the
// rest. It never holds inputs or results: knowing the URL of a webhook must not
// be a way to read them.
type payload struct {
	Type      Type        `json:"type"`
	Timestamp time.Time   `json:"timestamp"` // of the end
	Data      payloadData `json:"data"`
}

type payloadData struct {
	ExecutionID string           `json:"executionId,omitempty"`
	BatchID     string           `json:"batchId,omitempty"`
	AgentID     string           `json:"agentId,omitempty"`
	RetryOf     string           `json:"retryOf,omitempty"`
	Status      execution.Status `json:"status,omitempty"`
	Code        execution.Code   `json:"code,omitempty"`  // of what did not succeed
	Total       int              `json:"total,omitempty"` // inputs of the batch
	URLs        urls             `json:"urls"`
}

// urls are paths of the API.
type urls struct {
	Self    string `json:"self"`
	Results string `json:"results,omitempty"`
}

// OfExecution is the delivery that tells of an execution's end at now; nil for
// one that nobody is to be told of.
func NewExecutionDelivery(e *execution.Execution, now time.Time) *Delivery {
	if e.Webhook == "" || !e.Status.Terminal() {
		return nil
	}
	data := payloadData{
		ExecutionID: e.ID, AgentID: e.AgentID, RetryOf: e.RetryOf, Status: e.Status,
		URLs: urls{Self: "/executions/" + e.ID},
	}
	if e.Failure != nil {
		data.Code = e.Failure.Code
	}
	return newDelivery(e.Tenant, e.ID, e.Webhook, payload{Type: Type("execution." + e.Status), Timestamp: now, Data: data})
}

// OfBatch is the delivery that tells of a batch's end at now; nil for one that
// nobody is to be told of.
func NewBatchDelivery(b *batch.Batch, now time.Time) *Delivery {
	if b.Webhook == "" || b.FinishedAt == nil {
		return nil
	}
	self := "/batches/" + b.ID
	return newDelivery(b.Tenant, b.ID, b.Webhook, payload{Type: BatchEnded, Timestamp: now, Data: payloadData{
		BatchID: b.ID, AgentID: b.AgentID, RetryOf: b.RetryOf, Total: b.Total,
		URLs: urls{Self: self, Results: self + "/results"},
	}})
}

func newDelivery(tenant, subject, url string, p payload) *Delivery {
	p.Timestamp = p.Timestamp.UTC()
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings, numbers and a time of this century
	}
	return &Delivery{
		ID: DeliveryID(subject), Tenant: tenant, SubjectID: subject, Type: p.Type, URL: url, Body: string(body),
		State: Pending, Due: &p.Timestamp, CreatedAt: p.Timestamp,
	}
}
