package store

import (
	"context"

	"github.com/airlock-run/airlock/internal/agent"
	"github.com/airlock-run/airlock/internal/id"
)

// CreateAgent stores a new agent and fills in its ID and times.
func (s *Store) CreateAgent(ctx context.Context, a *agent.Agent) error {
	a.ID = id.New(id.Agent)
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	a.CreatedAt, a.UpdatedAt = now, now
	_, err = s.collection(a.Owner, agents).Doc(a.ID).Create(ctx, a)
	return translate(err)
}

// Agent returns the owner's agent, or a NotFoundError.
func (s *Store) Agent(ctx context.Context, owner, id string) (agent.Agent, error) {
	var a agent.Agent
	_, err := s.read(outside(ctx), agents, owner, id, &a)
	return a, err
}
