package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// CreateEnvironment stores a new environment with its first version, and fills in its ID, version and times. The key
// may be nil.
func (s *Store) CreateEnvironment(ctx context.Context, e *environment.Environment, key *IdempotencyKey) error {
	e.ID, e.Version = id.New(id.Environment), 1
	doc := s.environmentDoc(e.Tenant, e.ID)
	return s.createOnce(ctx, doc, key, func(tx *firestore.Transaction) (Created, time.Time, error) {
		now, err := transactionTime(tx, doc)
		if err != nil {
			return Created{}, now, err
		}
		e.CreatedAt, e.UpdatedAt = now, now
		return Created{Environment: e}, now, errors.Join(
			tx.Create(doc, e),
			tx.Create(s.environmentVersionDoc(e.Tenant, e.ID, 1), environment.Version{Environment: *e}),
		)
	})
}

// Environment returns the tenant's environment, or a NotFoundError.
func (s *Store) Environment(ctx context.Context, tenant, environmentID string) (e environment.Environment, err error) {
	_, err = read(withoutTransaction(ctx), s.environmentDoc(tenant, environmentID), &e)
	return e, err
}

// Environments returns a page of the tenant's environments, the newest first.
func (s *Store) Environments(ctx context.Context, tenant string, p Page) ([]environment.Environment, error) {
	return list[environment.Environment](ctx, p.apply(s.collection(tenant, environments).Query, "createdAt"))
}

// UpdateEnvironment replaces the tenant's environment by the result of edit, which may be called more than once. A
// change makes a version; an edit without one writes nothing.
func (s *Store) UpdateEnvironment(
	ctx context.Context, tenant, environmentID string, edit func(environment.Environment) (environment.Environment, error),
) (after environment.Environment, err error) {
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		var before environment.Environment
		now, err := read(tx.Get, s.environmentDoc(tenant, environmentID), &before)
		if err != nil {
			return err
		}
		if after, err = edit(before); err != nil {
			return err
		}
		changed := environment.Changes(before, after)
		if len(changed) == 0 {
			after = before
			return nil
		}
		after.Version, after.UpdatedAt = before.Version+1, now
		return errors.Join(
			tx.Set(s.environmentVersionDoc(tenant, environmentID, after.Version), environment.Version{Environment: after, Changed: changed}),
			tx.Set(s.environmentDoc(tenant, environmentID), after),
		)
	})
	return after, err
}

// DeleteEnvironment deletes the tenant's environment, or returns a NotFoundError. Its versions stay as long as
// executions may refer to them: see ExpiredEnvironments.
func (s *Store) DeleteEnvironment(ctx context.Context, tenant, environmentID string) error {
	return s.deleteVersioned(ctx, s.environmentDoc(tenant, environmentID), s.deletedEnvironmentDoc(tenant, environmentID))
}

// EnvironmentVersion returns an environment as it was in a version, also if it has been deleted since. The error is a
// NotFoundError if the tenant has no such version.
func (s *Store) EnvironmentVersion(ctx context.Context, tenant, environmentID string, version int) (environment.Environment, error) {
	var v environment.Version
	_, err := read(withoutTransaction(ctx), s.environmentVersionDoc(tenant, environmentID, version), &v)
	return v.Environment, err
}

// EnvironmentVersions returns at most limit versions of an environment, the newest first: those before a version, or
// the newest if that is 0.
func (s *Store) EnvironmentVersions(ctx context.Context, tenant, environmentID string, before, limit int) ([]agent.VersionInfo, error) {
	if _, err := s.Environment(ctx, tenant, environmentID); err != nil {
		return nil, err
	}
	return list[agent.VersionInfo](ctx, versionsBefore(s.environmentVersions(tenant, environmentID), before, limit))
}

// ExpiredEnvironments finds environments that were deleted before a time. Their versions belong to them. Delete keeps
// the versions of an environment that has executions or batches: these may run, or be retried.
func (s *Store) ExpiredEnvironments(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	return s.expiredVersions(ctx, deletedEnvironments, "task.environment.id", s.environmentVersions, before, scan, limit)
}

// MissingEnvironmentError means that work names an environment that the tenant does not have.
type MissingEnvironmentError struct {
	ID      string
	OfAgent bool // the agent names it, not the request
}

func (e *MissingEnvironmentError) Error() string {
	return fmt.Sprintf("the tenant has no environment %q", e.ID)
}

// pinEnvironment returns the version of the environment that new work of an agent uses: of the one that the request
// names, or else of the agent's. A version of 0 is the newest one. Another one was pinned before, and is not read.
func (s *Store) pinEnvironment(get documentsGetter, a agent.Agent, named environment.VersionRef) (environment.VersionRef, error) {
	ref, ofAgent := named, false
	if ref.IsZero() {
		ref.ID, ofAgent = a.EnvironmentID, true
	}
	if ref.ID == "" || ref.Version != 0 {
		return ref, nil
	}
	snaps, err := get([]*firestore.DocumentRef{s.environmentDoc(a.Tenant, ref.ID)})
	if err != nil {
		return ref, translateError(err)
	}
	var e environment.Environment
	if _, _, err = decode(snaps[0], &e); isNotFound(err) {
		return ref, &MissingEnvironmentError{ID: ref.ID, OfAgent: ofAgent}
	}
	return e.Ref(), err
}
