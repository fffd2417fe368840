package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// CreateAgent stores a new agent and fills in its ID and times. The key may be nil.
func (s *Store) CreateAgent(ctx context.Context, a *agent.Agent, key *IdempotencyKey) error {
	a.ID = id.New(id.Agent)
	doc := s.agentDoc(a.Tenant, a.ID)
	return s.createOnce(ctx, doc, key, func(tx *firestore.Transaction) (Created, time.Time, error) {
		now, err := transactionTime(tx, doc)
		if err != nil {
			return Created{}, now, err
		}
		a.CreatedAt, a.UpdatedAt = now, now
		return Created{Agent: a}, now, tx.Create(doc, a)
	})
}

// Agent returns the tenant's agent, or a NotFoundError.
func (s *Store) Agent(ctx context.Context, tenant, agentID string) (agent.Agent, error) {
	var a agent.Agent
	_, err := read(withoutTransaction(ctx), s.agentDoc(tenant, agentID), &a)
	return a, err
}

// Agents returns a page of the tenant's agents, the newest first.
func (s *Store) Agents(ctx context.Context, tenant string, p Page) ([]agent.Agent, error) {
	return list[agent.Agent](ctx, p.apply(s.collection(tenant, agents).Query, "createdAt"))
}

// UpdateAgent replaces the tenant's agent by the result of edit, which may be called more than once. The transaction
// prevents that one of two concurrent edits is lost.
func (s *Store) UpdateAgent(
	ctx context.Context, tenant, agentID string, edit func(agent.Agent) (agent.Agent, error),
) (after agent.Agent, err error) {
	doc := s.agentDoc(tenant, agentID)
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		var before agent.Agent
		now, err := read(tx.Get, doc, &before)
		if err != nil {
			return err
		}
		if after, err = edit(before); err != nil {
			return err
		}
		after.UpdatedAt = now
		return tx.Set(doc, &after)
	})
	return after, err
}

// DeleteAgent deletes the tenant's agent, or returns a NotFoundError.
func (s *Store) DeleteAgent(ctx context.Context, tenant, agentID string) error {
	return removeExisting(ctx, s.agentDoc(tenant, agentID))
}
