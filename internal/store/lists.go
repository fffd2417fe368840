package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Page is a part of a list that runs from the newest to the oldest.
type Page struct {
	After *Cursor // nil: from the newest on
	Limit int
}

// Position is a place in a list: that of the resource which was shown last.
// What is added to the list later lies before it, so that a page behind it is
// always the same.
type Cursor struct {
	At time.Time // by which the list is in order
	ID string    // tells apart what has the same time
}

// of returns the documents of a page of the query's, in the order of a field.
func (p Page) apply(q firestore.Query, field string) firestore.Query {
	q = q.OrderBy(field, firestore.Desc).OrderBy(firestore.DocumentID, firestore.Desc).Limit(p.Limit)
	if p.After != nil {
		q = q.StartAfter(p.After.At, p.After.ID)
	}
	return q
}

// Filter narrows a list of executions. Empty fields do not; the others hold
// together. Firestore answers any of them with an index for each (field,
// createdAt), which it merges.
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

// Executions returns a page of the tenant's executions, the newest first.
func (s *Store) Executions(ctx context.Context, tenant string, f Filter, p Page) ([]execution.Execution, error) {
	return list[execution.Execution](ctx, p.apply(f.apply(s.collection(tenant, executions).Query), "createdAt"))
}

// Agents returns a page of the tenant's agents, the newest first.
func (s *Store) Agents(ctx context.Context, tenant string, p Page) ([]agent.Agent, error) {
	return list[agent.Agent](ctx, p.apply(s.collection(tenant, agents).Query, "createdAt"))
}

// Batches returns a page of the tenant's batches, the newest first.
func (s *Store) Batches(ctx context.Context, tenant string, p Page) ([]batch.Batch, error) {
	return list[batch.Batch](ctx, p.apply(s.collection(tenant, batches).Query, "createdAt"))
}

// Conversations returns a page of the tenant's conversations, the one with the
// newest message first. One that gets a message meanwhile moves to the front.
func (s *Store) Conversations(ctx context.Context, tenant string, p Page) ([]conversation.Conversation, error) {
	return list[conversation.Conversation](ctx, p.apply(s.collection(tenant, conversations).Query, "updatedAt"))
}
