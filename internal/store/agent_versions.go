package store

import (
	"context"
	"strconv"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// noAgentVersion is the error for a version that an agent does not have.
func noAgentVersion(version int) *NotFoundError {
	return &NotFoundError{Resource: resourceNames[agents] + " version", ID: strconv.Itoa(version)}
}

// pinAgent returns a version of an agent that was read; 0 is the newest. The settings of the newest are not read.
func (s *Store) pinAgent(get documentsGetter, a agent.Agent, version int) (agent.Agent, error) {
	a.Version = max(a.Version, 1)
	if version == 0 || version == a.Version {
		return a, nil
	}
	snaps, err := get([]*firestore.DocumentRef{s.agentVersionDoc(a.Tenant, a.ID, version)})
	if err != nil {
		return a, translateError(err)
	}
	var v agent.Version
	_, _, err = decode(snaps[0], &v)
	return v.Agent, err
}

// AgentVersion returns an agent as it was in a version. The error is a NotFoundError if the tenant does not have the
// agent or the version.
func (s *Store) AgentVersion(ctx context.Context, tenant, agentID string, version int) (agent.Agent, error) {
	a, _, err := s.readAgent(withoutTransaction(ctx), tenant, agentID)
	if err != nil {
		return a, err
	}
	return s.pinAgent(s.getAll(ctx), a, version)
}

// AgentVersions returns at most limit versions of an agent, the newest first: those before a version, or the newest if
// that is 0.
func (s *Store) AgentVersions(ctx context.Context, tenant, agentID string, before, limit int) ([]agent.VersionInfo, error) {
	var a agent.Agent
	if _, err := read(withoutTransaction(ctx), s.agentDoc(tenant, agentID), &a); err != nil {
		return nil, err
	}
	if a.Version == 0 { // it was stored before there were versions
		if before == 0 || before > 1 {
			return []agent.VersionInfo{{Version: 1, UpdatedAt: a.UpdatedAt}}, nil
		}
		return nil, nil
	}
	return list[agent.VersionInfo](ctx, versionsBefore(s.agentVersions(tenant, agentID), before, limit))
}

// versionsBefore finds at most limit versions, the newest first: those before one, or the newest if that is 0. It
// selects the fields of a VersionInfo.
func versionsBefore(versions *firestore.CollectionRef, before, limit int) firestore.Query {
	q := versions.OrderBy("version", firestore.Desc).Limit(limit).Select("version", "changed", "updatedAt")
	if before > 0 {
		q = q.StartAfter(before)
	}
	return q
}

// AgentSettings returns the settings of a version of an agent, which may have been deleted since.
func (s *Store) AgentSettings(ctx context.Context, tenant, agentID string, version int) (agent.Settings, error) {
	var v agent.Version
	_, err := read(withoutTransaction(ctx), s.agentVersionDoc(tenant, agentID, version), &v)
	return v.Settings, err
}

// deletion says when an agent or an environment was deleted whose versions are left.
type deletion struct {
	DeletedAt time.Time `firestore:"deletedAt"`
}

// ExpiredAgents finds agents that were deleted before a time. Their versions belong to them. Delete keeps the versions
// of an agent that has executions or batches: these may run, or be retried.
func (s *Store) ExpiredAgents(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	return s.expiredVersions(ctx, deletedAgents, "agentId", s.agentVersions, before, scan, limit)
}

// expiredVersions finds deletions before a time. Delete deletes the versions, unless an execution or a batch refers to
// their resource with a field.
func (s *Store) expiredVersions(
	ctx context.Context, deletions, field string, versions func(tenant, resourceID string) *firestore.CollectionRef,
	before time.Time, scan *Scan, limit int,
) ([]Expired, error) {
	q := s.client.CollectionGroup(deletions).Query
	return findExpired(ctx, q, "deletedAt", before, scan, limit, func(ctx context.Context, snap *firestore.DocumentSnapshot, _ ArtifactDeleter) error {
		tenant, resourceID := snap.Ref.Parent.Parent.ID, snap.Ref.ID
		used, err := s.hasUsers(ctx, tenant, field, resourceID)
		if err != nil || used {
			return err
		}
		return deleteVersions(ctx, versions(tenant, resourceID), snap.Ref)
	})
}

// hasUsers reports whether an execution or a batch of the tenant refers to a resource with a field.
func (s *Store) hasUsers(ctx context.Context, tenant, field, resourceID string) (bool, error) {
	for _, users := range []string{executions, batches} {
		found, err := s.collection(tenant, users).Where(field, "==", resourceID).Limit(1).Select().Documents(ctx).GetAll()
		if err != nil || len(found) > 0 {
			return err == nil, translateError(err)
		}
	}
	return false, nil
}

// maxVersionDeletes bounds how many versions one query returns for deletion.
const maxVersionDeletes = 100

// deleteVersions deletes all versions, and then the document by which they are found.
func deleteVersions(ctx context.Context, versions *firestore.CollectionRef, last *firestore.DocumentRef) error {
	for {
		snaps, err := versions.Limit(maxVersionDeletes).Select().Documents(ctx).GetAll()
		if err != nil {
			return translateError(err)
		}
		if len(snaps) == 0 {
			return remove(ctx, last)
		}
		err = deleteEach(ctx, snaps, func(ctx context.Context, snap *firestore.DocumentSnapshot) error { return remove(ctx, snap.Ref) })
		if err != nil {
			return err
		}
	}
}
