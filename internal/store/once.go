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
const answeredFor = 24 * time.Hour

const requests = "requests"

// TTL names the fields by which Firestore removes documents by itself, by their
// collection group. In the cloud infra/firestore.indexes.json says the same.
func TTL() map[string]string { return map[string]string{requests: "expires"} }

// Asked is a creation that a client asks for under a key of its own, so that
// asking again creates nothing more. It travels with the context, because it
// concerns every creation alike and none in particular; a context is good for
// one of them.
type Asked struct {
	Owner, Key string
	// Request is a hash of what is asked for. It is called when all of that was read.
	Request func() []byte
	// Answer is what the client is told of what was made: an execution.Change, an
	// agent.Agent or a batch.Batch. It is called within the transaction, perhaps again.
	Answer func(made any) (Answer, error)
}

// Answer is what a client was told.
type Answer struct {
	Status   int    `firestore:"status"` // of HTTP
	Location string `firestore:"location"`
	Body     []byte `firestore:"body"`
}

// Answered is a creation that took place, as it is stored under its key.
type Answered struct {
	Request []byte    `firestore:"request"`
	Answer  Answer    `firestore:"answer"`
	Expires time.Time `firestore:"expires"`
}

// RepeatedError means that there was a creation under the key before; what it
// was asked for with and answered by is here.
type RepeatedError struct{ Answered }

func (*RepeatedError) Error() string { return "there was a creation under this key before" }

type askedKey struct{}

// WithAsked makes the creation of this context happen once.
func WithAsked(ctx context.Context, a *Asked) context.Context {
	return context.WithValue(ctx, askedKey{}, a)
}

// askedOf returns nil where the client named no key.
func askedOf(ctx context.Context) *Asked {
	asked, _ := ctx.Value(askedKey{}).(*Asked)
	return asked
}

// Answered returns a RepeatedError where there was a creation under the key
// before. Where there was none there may be one by the time of the creation
// itself, which tells of it in the same way.
func (s *Store) Answered(ctx context.Context, owner, key string) error {
	return s.answered(outside(ctx), owner, key)
}

func (s *Store) answered(get reader, owner, key string) error {
	snap, err := get(s.request(owner, key))
	if status.Code(err) == codes.NotFound {
		return nil
	}
	if err != nil {
		return translate(err)
	}
	var before Answered
	if err := snap.DataTo(&before); err != nil || !snap.ReadTime.Before(before.Expires) {
		return err
	}
	return &RepeatedError{before}
}

// create is transact for what a client may ask for under a key. What f makes
// and the answer to it are stored together or not at all, so that neither a
// lost answer nor two requests at once make two of it.
func create[T any](ctx context.Context, s *Store, f func(tx *firestore.Transaction) (made T, now time.Time, err error)) (T, error) {
	asked := askedOf(ctx)
	var made T
	err := s.transact(ctx, func(tx *firestore.Transaction) error {
		if asked != nil {
			if err := s.answered(tx.Get, asked.Owner, asked.Key); err != nil {
				return err
			}
		}
		var now time.Time
		var err error
		if made, now, err = f(tx); err != nil || asked == nil {
			return err
		}
		answer, err := asked.Answer(made)
		if err != nil {
			return err
		}
		return tx.Set(s.request(asked.Owner, asked.Key), Answered{Request: asked.Request(), Answer: answer, Expires: now.Add(answeredFor)})
	})
	return made, err
}

// request is where the creation under a key is. The key may be any text, so
// its hash names the document.
func (s *Store) request(owner, key string) *firestore.DocumentRef {
	sum := sha256.Sum256([]byte(key))
	return s.collection(owner, requests).Doc(hex.EncodeToString(sum[:]))
}
