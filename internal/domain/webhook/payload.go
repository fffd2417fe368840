package webhook

import (
	"encoding/json"
	"time"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Type is the type of the event that a delivery reports.
type Type string

// The types.
const (
	ExecutionSucceeded Type = "execution.succeeded"
	ExecutionFailed    Type = "execution.failed"
	ExecutionTimedOut  Type = "execution.timed_out"
	ExecutionCanceled  Type = "execution.canceled"
	BatchFinished      Type = "batch.finished"
)

// payload is the body of a delivery: which resource has ended, how, and where to read the rest. It never holds inputs
// or results, so the receiver of a webhook cannot read them without an API key.
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
	Code        execution.Code   `json:"code,omitempty"`  // of a failure
	Total       int              `json:"total,omitempty"` // inputs of the batch
	URLs        urls             `json:"urls"`
}

// urls are paths of the API.
type urls struct {
	Self    string `json:"self"`
	Results string `json:"results,omitempty"`
}

// NewExecutionDelivery returns the delivery for an execution that ends at now; nil if the execution has no webhook or
// has not ended.
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

// NewBatchDelivery returns the delivery for a batch that ends at now; nil if the batch has no webhook or has not ended.
func NewBatchDelivery(b *batch.Batch, now time.Time) *Delivery {
	if b.Webhook == "" || b.FinishedAt == nil {
		return nil
	}
	self := "/batches/" + b.ID
	return newDelivery(b.Tenant, b.ID, b.Webhook, payload{Type: BatchFinished, Timestamp: now, Data: payloadData{
		BatchID: b.ID, AgentID: b.AgentID, RetryOf: b.RetryOf, Total: b.Total,
		URLs: urls{Self: self, Results: self + "/results"},
	}})
}

func newDelivery(tenant, subjectID, url string, p payload) *Delivery {
	p.Timestamp = p.Timestamp.UTC()
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // never: a payload has only strings, numbers and a valid time
	}
	return &Delivery{
		ID: DeliveryID(subjectID), Tenant: tenant, SubjectID: subjectID, Type: p.Type, URL: url, Body: string(body),
		State: Pending, Due: &p.Timestamp, CreatedAt: p.Timestamp,
	}
}
