package store

import (
	"context"
	"slices"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Execution returns the tenant's execution, or a NotFoundError.
func (s *Store) Execution(ctx context.Context, ref execution.Ref) (execution.Execution, error) {
	var e execution.Execution
	_, err := s.read(withoutTransaction(ctx), executions, ref.Tenant, ref.ID, &e)
	return e, err
}

// Due returns executions of all tenants that are due at now, longest first. It
// is the janitor's, and the only look across tenants.
func (s *Store) DueExecutions(ctx context.Context, now time.Time, limit int) ([]execution.Ref, error) {
	q := s.client.CollectionGroup(executions).Where("due", "<=", now).OrderBy("due", firestore.Asc).Limit(limit)
	return list[execution.Ref](ctx, q.Select("tenant", "id"))
}

// Conversation returns the tenant's conversation, or a NotFoundError.
func (s *Store) Conversation(ctx context.Context, tenant, id string) (conversation.Conversation, error) {
	var c conversation.Conversation
	_, err := s.read(withoutTransaction(ctx), conversations, tenant, id, &c)
	return c, err
}

// Messages returns the newest messages of a conversation that lie before a
// turn (0: all turns), oldest first.
func (s *Store) Messages(ctx context.Context, tenant, conversationID string, beforeTurn, limit int) ([]conversation.Message, error) {
	q := s.collection(tenant, conversations).Doc(conversationID).Collection(messages).Query
	if beforeTurn > 0 {
		q = q.Where("turn", "<", beforeTurn)
	}
	found, err := list[conversation.Message](ctx, q.OrderBy("turn", firestore.Desc).OrderBy("role", firestore.Asc).Limit(limit))
	slices.Reverse(found)
	return found, err
}
