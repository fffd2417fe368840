package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/file"
)

// idempotencyTTL is how long an idempotency key is remembered. Firestore deletes the record some time later, by a TTL
// policy on the field expires.
const idempotencyTTL = 24 * time.Hour

// TTL names, for each collection group, the field by which Firestore deletes expired documents. In the cloud
// infra/firestore.indexes.json says the same.
func TTL() map[string]string {
	return map[string]string{
		idempotencyRecords: "expires", inboxItems: "expires",
		usageParts: "expires", labelUsageParts: "expires", budgetWarnings: "expires", usageWriters: "expires",
	}
}

// IdempotencyKey makes a creation happen at most once: while the key is remembered, another creation with the same key
// fails with a DuplicateRequestError and stores nothing.
//
// Every method that takes a key takes it as an argument or as a field of its request; nil means none.
type IdempotencyKey struct {
	Key         string // chosen by the client; any text; each tenant has its own keys
	Fingerprint []byte // a hash of the whole request, which tells a repeated request from another one
}

// Created is what a request with an idempotency key created, as it was at that moment. One of its fields is set.
//
// A record holds this instead of the response of HTTP. So the store knows nothing of HTTP, and nothing is rendered
// within a transaction; the API renders the same value again and gets the same bytes.
type Created struct {
	Agent       *agent.Agent             `firestore:"agent"`
	Batch       *batch.Batch             `firestore:"batch"`
	Environment *environment.Environment `firestore:"environment"`
	Execution   *CreatedExecution        `firestore:"execution"`
	File        *file.File               `firestore:"file"`
}

// CreatedExecution has what a client is told of an execution when it is accepted. The whole execution may be large.
type CreatedExecution struct {
	ID             string `firestore:"id"`
	ConversationID string `firestore:"conversationId"` // empty: it belongs to none
}

func createdExecution(e *execution.Execution) Created {
	return Created{Execution: &CreatedExecution{ID: e.ID, ConversationID: e.ConversationID}}
}

// IdempotencyRecord is the document of an idempotency key that was used.
type IdempotencyRecord struct {
	Fingerprint []byte    `firestore:"fingerprint"`
	Created     Created   `firestore:"created"`
	Expires     time.Time `firestore:"expires"`
}

// DuplicateRequestError means that an idempotency key was used before. The record says for which request, and what that
// request created.
type DuplicateRequestError struct{ IdempotencyRecord }

func (*DuplicateRequestError) Error() string { return "the idempotency key was used before" }

// CheckIdempotencyKey returns a DuplicateRequestError when the key was used before. If it returns nil, the key may
// still be used by the time of the creation, which then returns the same error.
func (s *Store) CheckIdempotencyKey(ctx context.Context, tenant, key string) error {
	return s.checkIdempotencyKey(withoutTransaction(ctx), tenant, key)
}

func (s *Store) checkIdempotencyKey(get documentGetter, tenant, key string) error {
	var record IdempotencyRecord
	now, err := read(get, s.idempotencyDoc(tenant, key), &record)
	if isNotFound(err) {
		return nil
	}
	if err != nil || !now.Before(record.Expires) {
		return err
	}
	return &DuplicateRequestError{record}
}

// createOnce runs create in a transaction. With a key it stores what create created and the record of the key in the
// same transaction. So neither a lost response nor two requests at the same time create it twice.
//
// doc is one of the documents that create creates, below the tenant. Its name is new. If it exists after a failed
// commit, an earlier commit has taken effect, and there is no error.
func (s *Store) createOnce(
	ctx context.Context, doc *firestore.DocumentRef, key *IdempotencyKey, create func(tx *firestore.Transaction) (c Created, now time.Time, err error),
) error {
	tenant, commitSent := doc.Parent.Parent.ID, false
	err := s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		if key != nil {
			if err := s.checkIdempotencyKey(tx.Get, tenant, key.Key); err != nil {
				return err
			}
		}
		created, now, err := create(tx)
		commitSent = commitSent || err == nil
		if err != nil || key == nil {
			return err
		}
		return tx.Set(s.idempotencyDoc(tenant, key.Key), IdempotencyRecord{
			Fingerprint: key.Fingerprint, Created: created, Expires: now.Add(idempotencyTTL),
		})
	})
	if err == nil || !commitSent {
		return err
	}
	committed, readErr := exists(ctx, doc)
	switch {
	case committed:
		return nil
	case readErr != nil:
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	default:
		return err
	}
}

// idempotencyDoc is the document of a key. A key may contain any character, so its hash is the document's ID.
func (s *Store) idempotencyDoc(tenant, key string) *firestore.DocumentRef {
	sum := sha256.Sum256([]byte(key))
	return s.collection(tenant, idempotencyRecords).Doc(hex.EncodeToString(sum[:]))
}
