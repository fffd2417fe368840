package store

import (
	"context"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// Snapshot is the whole store at one time. It is safe for concurrent use and must be closed.
type Snapshot struct {
	Time document.Time

	store  *Store
	reader *pebble.Snapshot
	newest *queuedCommit // newest commit it may hold
	// rewound holds, for a snapshot of the past, the documents changed since, as they were.
	pastDocuments map[string]*document.Document
	historical    bool

	mu       sync.Mutex
	refCount int // who have yet to close it
}

// Snapshot returns the store as it is now. Its time is not before any commit in it, and all later commits are after it.
func (s *Store) Snapshot() *Snapshot {
	s.clockMu.Lock()
	defer s.clockMu.Unlock()
	return &Snapshot{Time: s.readTime(), store: s, reader: s.db.NewSnapshot(), newest: s.syncQueue.newest(), refCount: 1}
}

// SnapshotAt returns one database as it was at a time. It fails with ErrForgotten, and with ErrFuture.
func (s *Store) SnapshotAt(db name.Database, t document.Time) (*Snapshot, error) {
	sn := s.Snapshot()
	if err := sn.rewind(db, t); err != nil {
		_ = sn.Close() // frees memory only
		return nil, err
	}
	return sn, nil
}

func (sn *Snapshot) rewind(db name.Database, t document.Time) error {
	if t > sn.Time {
		return ErrInFuture
	}
	sn.historical, sn.pastDocuments = true, map[string]*document.Document{}
	for h, err := range history(sn.reader, db, t) {
		if err != nil {
			return err
		}
		if key := h.path.String(); !sn.changedSince(key) {
			sn.pastDocuments[key] = h.old
		}
	}
	// Looked at last: what was there to read may have been trimmed meanwhile.
	if int64(t) < sn.store.trimmedUpTo.Load() {
		return ErrTooOld
	}
	sn.Time = t
	return nil
}

func (sn *Snapshot) changedSince(key string) bool {
	_, ok := sn.pastDocuments[key]
	return ok
}

// Share adds a user, who closes the snapshot as well. It is false where the last user has closed it already.
func (sn *Snapshot) Retain() bool {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.refCount == 0 {
		return false
	}
	sn.refCount++
	return true
}

// Close ends one use of the snapshot; the last frees it.
func (sn *Snapshot) Close() error {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.refCount--; sn.refCount > 0 {
		return nil
	}
	return sn.reader.Close()
}

// Get returns a document, nil where there is none.
func (sn *Snapshot) Get(db name.Database, p name.Path) (*document.Document, error) {
	if sn.historical {
		if key := p.String(); sn.changedSince(key) {
			return sn.pastDocuments[key], nil
		}
	}
	return get(sn.reader, db, p)
}

// Durable returns once everything in the snapshot is on disk: what a client has read must not be gone after a crash.
func (sn *Snapshot) WaitDurable(ctx context.Context) error {
	select {
	case <-sn.newest.done:
		return sn.newest.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// DurableDocument returns once a document read from the snapshot is on disk, or its absence.
func (sn *Snapshot) WaitDocumentDurable(ctx context.Context, d *document.Document) error {
	if d != nil && sn.store.syncQueue.isDurable(d.UpdateTime) {
		return nil
	}
	return sn.WaitDurable(ctx)
}
