// Package store stores everything of Airlock in Firestore. documents.go lists what is stored.
//
// In: requests to create resources, and events of executions. Out: resources of one tenant, and lists of references for
// the background workers. Apply is the only way to change an execution. The package never publishes a notification: it
// returns a Change, and the caller publishes it.
//
// Everything of a tenant lies below tenants/{tenant}. Only the methods for background workers read across tenants. The
// clock is Firestore's: the "now" of a change is the read time of the document that it changes, so wrong clocks of the
// machines that run Airlock do no harm.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NotFoundError means that the tenant does not have the resource.
type NotFoundError struct {
	Resource string // for people, such as "agent"
	ID       string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("no %s %q", e.Resource, e.ID) }

func isNotFound(err error) bool {
	var notFound *NotFoundError
	return errors.As(err, &notFound)
}

// Store is safe for concurrent use.
type Store struct {
	client         *firestore.Client
	inboxes        openInboxes
	watchedTenants watchedTenants
	usage          *usageRecorder
}

// New returns a store over a client. Close closes the client.
func New(client *firestore.Client) *Store {
	return &Store{client: client, usage: newUsageRecorder()}
}

// Now returns Firestore's time. It fails with ErrUnavailable, so it also serves as the readiness check.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	snap, err := s.clockDoc().Get(ctx)
	if err != nil && status.Code(err) != codes.NotFound {
		return time.Time{}, translateError(err)
	}
	return snap.ReadTime, nil
}
