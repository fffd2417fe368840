package store

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// Tenant is the stored state of a tenant as a whole, at a time.
type Tenant struct {
	tenant.Tenant
	Now     time.Time // Firestore's time of the read
	version time.Time // Firestore's update time; zero: there is no document
}

// Tenant returns what is stored about a tenant as a whole. A tenant without a document has the defaults.
func (s *Store) Tenant(ctx context.Context, name string) (Tenant, error) {
	t := Tenant{Tenant: tenant.Tenant{Partition: fleet.Partition(name)}}
	var err error
	t.Now, t.version, err = readVersion(withoutTransaction(ctx), s.tenantDoc(name), &t.Tenant)
	if isNotFound(err) {
		err = nil
	}
	if err == nil {
		s.watchedTenants.note(name, t.Watchers, t.Now)
	}
	return t, err
}

func (s *Store) tenantInTransaction(tx *firestore.Transaction, name string) (t Tenant, err error) {
	t.Now, t.version, err = readVersion(tx.Get, s.tenantDoc(name), &t.Tenant)
	if isNotFound(err) {
		err = nil
	}
	if err == nil {
		s.watchedTenants.note(name, t.Watchers, t.Now)
	}
	return t, err
}

// MarkWaiting tells the dispatcher of a tenant that executions wait in a lane: it sets the state of the lane, by which
// a dispatcher finds the tenant later, and sends a signal to the process, unless that is empty. It may be repeated.
func (s *Store) MarkWaiting(ctx context.Context, name string, lane execution.Lane, process string) error {
	local, remote := s.inboxes.split([]signal.Signal{{To: process, Kind: signal.KindWake, Tenant: name}})
	marks := s.newCommit()
	marks.Set(s.tenantDoc(name), waitingFields(name, lane), firestore.MergeAll)
	for i := range remote {
		marks.Set(s.signalDoc(&remote[i]), &remote[i])
	}
	_, err := marks.Commit(ctx)
	if err == nil {
		local.deliver()
	}
	return translateCommitError(err)
}

// waitingFields are the fields of a tenant's document that say that executions wait in a lane. The time makes each
// mark a change: a write that changes nothing would leave the document's version as it is, and SetBacklog would not
// notice it.
func waitingFields(name string, lane execution.Lane) map[string]any {
	return map[string]any{
		"partition": fleet.Partition(name), "backlogged": true, "backlog": map[string]any{string(lane): tenant.LaneWaiting},
		"markedAt": firestore.ServerTimestamp,
	}
}

// SetBacklog sets the states of the lanes, unless the document has changed since it was read as t. It reports whether
// it did.
func (s *Store) SetBacklog(ctx context.Context, name string, t Tenant, backlog tenant.Backlog) (bool, error) {
	if t.version.IsZero() {
		return backlog == tenant.Backlog{}, nil
	}
	updates := []firestore.Update{
		{Path: "backlog.interactive", Value: backlog.Interactive}, {Path: "backlog.batch", Value: backlog.Batch},
		{Path: "backlogged", Value: backlog != tenant.Backlog{}},
	}
	_, err := s.tenantDoc(name).Update(ctx, updates, firestore.LastUpdateTime(t.version))
	if code := status.Code(err); code == codes.FailedPrecondition || code == codes.NotFound {
		return false, nil
	}
	return err == nil, translateCommitError(err)
}

// BackloggedTenants returns the tenants of these partitions, at most 30, in which executions wait for the dispatcher.
func (s *Store) BackloggedTenants(ctx context.Context, partitions []int) ([]string, error) {
	q := s.client.Collection("tenants").Where("partition", "in", partitions).Where("backlogged", "==", true)
	snaps, err := q.Select().Documents(ctx).GetAll()
	if err != nil {
		return nil, translateError(err)
	}
	names := make([]string, len(snaps))
	for i, snap := range snaps {
		names[i] = snap.Ref.ID
	}
	return names, nil
}
