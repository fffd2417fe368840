package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// answeredFor is how long a creation is remembered under its key. Firestore
// removes it some time after that by itself (a TTL policy on expires).
const idempotencyTTL = 24 * time.Hour

const idempotencyRecords = "idempotencyRecords"

// TTL names the fields by which Firestore removes documents by itself, by their
// collection group. In the cloud infra/firestore.indexes.json says the same.
func TTL() map[string]string { return map[string]string{idempotencyRecords: "expires"} }

// Asked is a creation that a client asks for under a key of its own, so that
// asking again creates nothing more. It travels with the context, because it
// concerns every creation alike and none in particular; a context is good for
// one of them.
type IdempotencyRequest struct {
	Tenant, Key string
	// Request is a hash of what is asked for. It is called when all of that was read.
	Fingerprint func() []byte
	// Answer is what the client is told of what was made: an execution.Change, an
	// agent.Agent or a batch.Batch. It is called within the transaction, perhaps again.
	Response func(made any) (StoredResponse, error)
}

// Answer is what a client was told.
type StoredResponse struct {
	Status   int    `firestore:"status"` // of HTTP
	Location string `firestore:"location"`
	Body     []byte `firestore:"body"`
}

// Answered is a creation that took place, as it is stored under its key.
type IdempotencyRecord struct {
	Fingerprint []byte         `firestore:"fingerprint"`
	Response    StoredResponse `firestore:"response"`
	Expires     time.Time      `firestore:"expires"`
}

// RepeatedError means that there was a creation under the key before; what it
// was asked for with and answered by is here.
type DuplicateRequestError struct{ IdempotencyRecord }

func (*DuplicateRequestError) Error() string { return "there was a creation under this key before" }

type idempotencyContextKey struct{}

// WithAsked makes the creation of this context happen once.
func WithIdempotency(ctx context.Context, request *IdempotencyRequest) context.Context {
	return context.WithValue(ctx, idempotencyContextKey{}, request)
}

// askedOf returns nil where the client named no key.
func idempotencyRequestFrom(ctx context.Context) *IdempotencyRequest {
	request, _ := ctx.Value(idempotencyContextKey{}).(*IdempotencyRequest)
	return request
}

// Answered returns a RepeatedError where there was a creation under the key
// before. Where there was none there may be one by the time of the creation
// itself, which tells of it in the same way.
func (s *Store) CheckIdempotencyKey(ctx context.Context, tenant, key string) error {
	return s.checkIdempotencyKey(withoutTransaction(ctx), tenant, key)
}

func (s *Store) checkIdempotencyKey(get documentGetter, tenant, key string) error {
	snap, err := get(s.idempotencyDoc(tenant, key))
	if status.Code(err) == codes.NotFound {
		return nil
	}
	if err != nil {
		return translateError(err)
	}
	var record IdempotencyRecord
	if err := snap.DataTo(&record); err != nil || !snap.ReadTime.Before(record.Expires) {
		return err
	}
	return &DuplicateRequestError{record}
}

// create is transact for what a client may ask for under a key. What f makes
// and the answer to it are stored together or not at all, so that neither a
// lost answer nor two requests at once make two of it.
func createIdempotently[T any](ctx context.Context, s *Store, f func(tx *firestore.Transaction) (created T, now time.Time, err error)) (T, error) {
	request := idempotencyRequestFrom(ctx)
	var created T
	err := s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		if request != nil {
			if err := s.checkIdempotencyKey(tx.Get, request.Tenant, request.Key); err != nil {
				return err
			}
		}
		var now time.Time
		var err error
		if created, now, err = f(tx); err != nil || request == nil {
			return err
		}
		response, err := request.Response(created)
		if err != nil {
			return err
		}
		return tx.Set(s.idempotencyDoc(request.Tenant, request.Key), IdempotencyRecord{Fingerprint: request.Fingerprint(), Response: response, Expires: now.Add(idempotencyTTL)})
	})
	return created, err
}

// request is where the creation under a key is. The key may be any text, so
// its hash names the document.
func (s *Store) idempotencyDoc(tenant, key string) *firestore.DocumentRef {
	sum := sha256.Sum256([]byte(key))
	return s.collection(tenant, idempotencyRecords).Doc(hex.EncodeToString(sum[:]))
}
