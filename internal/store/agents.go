package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// CreateAgent stores a new agent with its first version, and fills in its ID, version and times. The key may be nil.
func (s *Store) CreateAgent(ctx context.Context, a *agent.Agent, key *IdempotencyKey) error {
	a.ID = id.New(id.Agent)
	a.Version, a.HasSettings = 1, !a.Settings.IsZero()
	doc := s.agentDoc(a.Tenant, a.ID)
	return s.createOnce(ctx, doc, key, func(tx *firestore.Transaction) (Created, time.Time, error) {
		now, err := transactionTime(tx, doc)
		if err != nil {
			return Created{}, now, err
		}
		a.CreatedAt, a.UpdatedAt = now, now
		return Created{Agent: a}, now, errors.Join(
			tx.Create(doc, a.WithoutSettings()),
			tx.Create(s.agentVersionDoc(a.Tenant, a.ID, 1), agent.Version{Agent: *a}),
		)
	})
}

// Agent returns the tenant's agent, or a NotFoundError.
func (s *Store) Agent(ctx context.Context, tenant, agentID string) (agent.Agent, error) {
	a, _, err := s.readAgent(withoutTransaction(ctx), tenant, agentID)
	return a, err
}

// readAgent returns an agent with its settings, and Firestore's time.
func (s *Store) readAgent(get documentGetter, tenant, agentID string) (a agent.Agent, now time.Time, err error) {
	if now, err = read(get, s.agentDoc(tenant, agentID), &a); err != nil {
		return a, now, err
	}
	a.Version = max(a.Version, 1)
	if a.HasSettings {
		var v agent.Version
		if _, err = read(get, s.agentVersionDoc(tenant, agentID, a.Version), &v); err != nil {
			return a, now, fmt.Errorf("settings of agent %s: %w", agentID, err)
		}
		a.Settings = v.Settings
	}
	return a, now, nil
}

// Agents returns a page of the tenant's agents, the newest first.
func (s *Store) Agents(ctx context.Context, tenant string, p Page) ([]agent.Agent, error) {
	return list[agent.Agent](ctx, p.apply(s.collection(tenant, agents).Query, "createdAt"))
}

// UpdateAgent replaces the tenant's agent by the result of edit, which may be called more than once. A change makes a
// version; an edit without one writes nothing. The transaction prevents that one of two concurrent edits is lost.
func (s *Store) UpdateAgent(
	ctx context.Context, tenant, agentID string, edit func(agent.Agent) (agent.Agent, error),
) (after agent.Agent, err error) {
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		before, now, err := s.readAgent(tx.Get, tenant, agentID)
		if err != nil {
			return err
		}
		if after, err = edit(before); err != nil {
			return err
		}
		changed := agent.Changes(before, after)
		if len(changed) == 0 {
			after = before
			return nil
		}
		after.Version, after.UpdatedAt, after.HasSettings = before.Version+1, now, !after.Settings.IsZero()
		// An agent that was stored before there were versions does not have its first.
		if before.Version == 1 {
			err = tx.Set(s.agentVersionDoc(tenant, agentID, 1), agent.Version{Agent: before})
		}
		return errors.Join(err,
			tx.Set(s.agentVersionDoc(tenant, agentID, after.Version), agent.Version{Agent: after, Changed: changed}),
			tx.Set(s.agentDoc(tenant, agentID), after.WithoutSettings()),
		)
	})
	return after, err
}

// DeleteAgent deletes the tenant's agent, or returns a NotFoundError. Its versions stay as long as executions may refer
// to them: see ExpiredAgents. The writes have no condition, so that a repeated one does not fail because the first one
// took effect.
func (s *Store) DeleteAgent(ctx context.Context, tenant, agentID string) error {
	return s.deleteVersioned(ctx, s.agentDoc(tenant, agentID), s.deletedAgentDoc(tenant, agentID))
}

// deleteVersioned deletes a document whose versions stay, and stores when.
func (s *Store) deleteVersioned(ctx context.Context, doc, deleted *firestore.DocumentRef) error {
	snap, err := doc.Get(ctx)
	switch {
	case status.Code(err) == codes.NotFound:
		return notFound(doc)
	case err != nil:
		return translateError(err)
	}
	commit := s.newCommit()
	commit.Delete(doc)
	commit.Set(deleted, deletion{DeletedAt: snap.ReadTime})
	_, err = commit.Commit(ctx)
	return translateCommitError(err)
}
