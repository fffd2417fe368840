package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// CreateAgent stores a new agent and fills in its ID and times. The key may be nil.
func (s *Store) CreateAgent(ctx context.Context, a *agent.Agent, key *IdempotencyKey) error {
	a.ID = id.New(id.Agent)
	return s.createOnce(ctx, a.Tenant, key, func(tx *firestore.Transaction) (Created, time.Time, error) {
		now, err := s.transactionTime(tx, agents, a.Tenant, a.ID)
		if err != nil {
			return Created{}, now, err
		}
		a.CreatedAt, a.UpdatedAt = now, now
		return Created{Agent: a}, now, tx.Create(s.collection(a.Tenant, agents).Doc(a.ID), a)
	})
}

// Agent returns the tenant's agent, or a NotFoundError.
func (s *Store) Agent(ctx context.Context, tenant, id string) (agent.Agent, error) {
	var a agent.Agent
	_, err := s.read(withoutTransaction(ctx), agents, tenant, id, &a)
	return a, err
}

// UpdateAgent replaces the tenant's agent by what edit makes of it; edit may be
// called more than once. The transaction keeps two edits from losing one another.
func (s *Store) UpdateAgent(ctx context.Context, tenant, id string, edit func(agent.Agent) (agent.Agent, error)) (agent.Agent, error) {
	var after agent.Agent
	err := s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		var before agent.Agent
		now, err := s.read(tx.Get, agents, tenant, id, &before)
		if err != nil {
			return err
		}
		if after, err = edit(before); err != nil {
			return err
		}
		after.UpdatedAt = now
		return tx.Set(s.collection(tenant, agents).Doc(id), &after)
	})
	return after, err
}

// DeleteAgent deletes the tenant's agent, or returns a NotFoundError.
func (s *Store) DeleteAgent(ctx context.Context, tenant, id string) error {
	_, err := s.collection(tenant, agents).Doc(id).Delete(ctx, firestore.Exists)
	if status.Code(err) == codes.NotFound {
		return &NotFoundError{Resource: resourceNames[agents], ID: id}
	}
	return translateError(err)
}
