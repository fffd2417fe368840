package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Execution returns the tenant's execution, or a NotFoundError.
func (s *Store) Execution(ctx context.Context, ref execution.Ref) (execution.Execution, error) {
	var e execution.Execution
	_, err := read(withoutTransaction(ctx), s.executionDoc(ref), &e)
	return e, err
}

// ExecutionAt returns the tenant's execution, or a NotFoundError, and Firestore's time.
func (s *Store) ExecutionAt(ctx context.Context, ref execution.Ref) (e execution.Execution, now time.Time, err error) {
	now, err = read(withoutTransaction(ctx), s.executionDoc(ref), &e)
	return e, now, err
}

// Executions returns a page of the tenant's executions that match a filter, the newest first.
func (s *Store) Executions(ctx context.Context, tenant string, f Filter, p Page) ([]execution.Execution, error) {
	return list[execution.Execution](ctx, p.apply(f.apply(s.collection(tenant, executions).Query), "createdAt"))
}

// Filter selects executions. An empty field matches all. Firestore needs one index for each field together with
// createdAt, and combines these indexes.
type Filter struct {
	Status         execution.Status
	Kind           execution.Kind
	AgentID        string
	ConversationID string
	BatchID        string
	Label          execution.Label
}

func (f Filter) apply(q firestore.Query) firestore.Query {
	for field, value := range map[string]string{
		"status": string(f.Status), "kind": string(f.Kind),
		"agentId": f.AgentID, "conversationId": f.ConversationID, "batchId": f.BatchID,
	} {
		if value != "" {
			q = q.Where(field, "==", value)
		}
	}
	if f.Label != "" {
		q = q.Where("labels", "array-contains", f.Label)
	}
	return q
}
