// Package file defines a file that a tenant has uploaded, which runs, messages and batches name by its ID.
//
// In: what the API has stored of an upload. Out: whether work may still name the file. The package never reads a clock
// or a storage: the caller passes Firestore's time.
package file

import (
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Limits of a file.
const (
	MaxBytes     = 100 << 20
	MaxNameBytes = 255
)

// File is an uploaded file. Its Firestore document is this struct; its content is in blob storage and never changes.
type File struct {
	ID          string            `firestore:"id"`
	Tenant      string            `firestore:"tenant"`
	Name        string            `firestore:"name"`
	ContentType string            `firestore:"contentType"`
	Content     execution.Content `firestore:"content"`
	CreatedAt   time.Time         `firestore:"createdAt"`
	ExpiresAt   *time.Time        `firestore:"expiresAt,omitempty"` // nil: never
}

// Expired reports whether the file has ended: new work cannot name it.
func (f *File) Expired(now time.Time) bool { return f.ExpiresAt != nil && !now.Before(*f.ExpiresAt) }

// Discarded is what is left of a file that was deleted or has expired: its content stays while an execution needs it.
// Its Firestore document is this struct.
type Discarded struct {
	ID      string            `firestore:"id"`
	Tenant  string            `firestore:"tenant"`
	Content execution.Content `firestore:"content"`
	// CheckAt is when the janitor looks whether an execution needs the content.
	CheckAt time.Time `firestore:"checkAt"`
}

const (
	// DiscardDelay is the time between the end of a file and the first look whether its content is needed. A request that
	// has read the file before that end has stored its work by then. The longest, for a batch, takes 5 minutes.
	DiscardDelay = 10 * time.Minute
	// RecheckInterval is the time until the next look, if the content is needed.
	RecheckInterval = 6 * time.Hour
)

// Discard returns what is left of a file that ends now.
func (f *File) Discard(now time.Time) Discarded {
	return Discarded{ID: f.ID, Tenant: f.Tenant, Content: f.Content, CheckAt: now.Add(DiscardDelay)}
}
