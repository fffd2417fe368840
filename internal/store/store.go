// Package store keeps agents, conversations and executions in Firestore.
//
// Everything of a tenant lies below tenants/{tenant}, and no method reads
// without a tenant. The clock of record is Firestore's: what a transaction
// calls now is the read time of the document that it decides about, so the
// clocks of the machines that run Airlock never matter.
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

// ErrUnavailable means that Firestore did not answer. Whether it did what it
// was asked is not known.
var ErrUnavailable = errors.New("firestore is unavailable")

// NotFoundError says which resource the tenant does not have.
type NotFoundError struct {
	Resource string // "agent", "batch", "conversation", "delivery", "execution", "key"
	ID       string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("no %s %q", e.Resource, e.ID) }

// Store is safe for concurrent use.
type Store struct {
	client *firestore.Client
}

// New returns a store over the client, which stays the caller's to close.
func New(client *firestore.Client) *Store { return &Store{client: client} }

// Names of the collections below a tenant.
const (
	agents        = "agents"
	conversations = "conversations"
	executions    = "executions"
	messages      = "messages"
	sessions      = "sessions"
)

// singular says to people what a collection holds.
var resourceNames = map[string]string{
	agents: "agent", batches: "batch", conversations: "conversation", deliveries: "delivery", executions: "execution", apiKeys: "key",
}

func (s *Store) collection(tenant, name string) *firestore.CollectionRef {
	return s.client.Collection("tenants").Doc(tenant).Collection(name)
}

// Now asks Firestore for its time. It fails with ErrUnavailable, which makes
// it the readiness check as well.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	snap, err := s.client.Collection("system").Doc("clock").Get(ctx)
	if err != nil && status.Code(err) != codes.NotFound {
		return time.Time{}, translateError(err)
	}
	return snap.ReadTime, nil
}

// reader is what can get one document: a reference by itself or a transaction.
type documentGetter func(*firestore.DocumentRef) (*firestore.DocumentSnapshot, error)

// outside reads without a transaction.
func withoutTransaction(ctx context.Context) documentGetter {
	return func(ref *firestore.DocumentRef) (*firestore.DocumentSnapshot, error) { return ref.Get(ctx) }
}

// read gets a document of the tenant into doc and returns Firestore's time of
// the read, which is known even when the document is not found.
func (s *Store) read(get documentGetter, collection, tenant, id string, doc any) (now time.Time, err error) {
	now, _, err = s.readVersion(get, collection, tenant, id, doc)
	return now, err
}

// readVersion returns the time of the document's newest change as well.
func (s *Store) readVersion(get documentGetter, collection, tenant, id string, doc any) (now, version time.Time, err error) {
	snap, err := get(s.collection(tenant, collection).Doc(id))
	if status.Code(err) == codes.NotFound {
		return snap.ReadTime, time.Time{}, &NotFoundError{Resource: resourceNames[collection], ID: id}
	}
	if err != nil {
		return time.Time{}, time.Time{}, translateError(err)
	}
	return snap.ReadTime, snap.UpdateTime, snap.DataTo(doc)
}

// fresh returns Firestore's time in a transaction that is to make a document.
// There is nothing to be read yet; the read is for its time.
func (s *Store) transactionTime(tx *firestore.Transaction, collection, tenant, id string) (now time.Time, err error) {
	snap, err := tx.Get(s.collection(tenant, collection).Doc(id))
	if status.Code(err) != codes.NotFound {
		return time.Time{}, translateError(err)
	}
	return snap.ReadTime, nil
}

// list reads all that a query finds.
func list[T any](ctx context.Context, q firestore.Query) ([]T, error) {
	snaps, err := q.Documents(ctx).GetAll()
	if err != nil {
		return nil, translateError(err)
	}
	found := make([]T, len(snaps))
	for i, snap := range snaps {
		if err := snap.DataTo(&found[i]); err != nil {
			return nil, fmt.Errorf("document %s: %w", snap.Ref.Path, err)
		}
	}
	return found, nil
}

// transact runs f in a transaction, again where it met another. Once a commit's
// answer is lost, Google's client repeats the commit, and the transaction that
// it names is then no more: whether it took place is not known, which is what
// ErrUnavailable says.
func (s *Store) runTransaction(ctx context.Context, f func(tx *firestore.Transaction) error) error {
	err := s.client.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error { return f(tx) })
	if status.Code(err) == codes.InvalidArgument {
		return fmt.Errorf("%w: a commit was not answered: %w", ErrUnavailable, err)
	}
	return translateError(err)
}

// translate turns the failures that may pass by themselves into ErrUnavailable.
func translateError(err error) error {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Aborted, codes.Internal:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
}
