package store

import (
	"context"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// Snapshot is the content of the store at one time. It is safe for concurrent use and must be closed.
type Snapshot struct {
	Time document.Time

	store  *Store
	reader *pebble.Snapshot
	newest *queuedCommit // newest commit that it may contain
	// pastDocuments contains the old versions of the documents changed since Time; nil for a missing document.
	pastDocuments map[string]*document.Document
	historical    bool // the snapshot is of a past time

	mu       sync.Mutex
	refCount int // number of users that have not closed it
}

// Snapshot returns the current content. All commits in it are at or before its time, all later ones after it.
func (s *Store) Snapshot() *Snapshot {
	s.clockMu.Lock()
	defer s.clockMu.Unlock()
	return &Snapshot{Time: s.readTime(), store: s, reader: s.db.NewSnapshot(), newest: s.syncQueue.newest(), refCount: 1}
}

// SnapshotAt returns the content of one database at a past time. It fails with ErrTooOld or ErrInFuture.
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
	// Check this last, because the history may have been trimmed while it was read.
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

// Retain adds a user, which calls Close as well. It returns false if the last user has closed the snapshot.
func (sn *Snapshot) Retain() bool {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.refCount == 0 {
		return false
	}
	sn.refCount++
	return true
}

// Close removes one user. The last one frees the snapshot.
func (sn *Snapshot) Close() error {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.refCount--; sn.refCount > 0 {
		return nil
	}
	return sn.reader.Close()
}

// Get returns a document; nil if it is missing.
func (sn *Snapshot) Get(db name.Database, p name.Path) (*document.Document, error) {
	if sn.historical {
		if key := p.String(); sn.changedSince(key) {
			return sn.pastDocuments[key], nil
		}
	}
	return get(sn.reader, db, p)
}

// WaitDurable returns when all commits in the snapshot are on disk: a crash must not undo what a client has read.
func (sn *Snapshot) WaitDurable(ctx context.Context) error {
	select {
	case <-sn.newest.done:
		return sn.newest.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// WaitDocumentDurable returns when a document of the snapshot is on disk. d is nil for a missing document.
func (sn *Snapshot) WaitDocumentDurable(ctx context.Context, d *document.Document) error {
	if d != nil && sn.store.syncQueue.isDurable(d.UpdateTime) {
		return nil
	}
	return sn.WaitDurable(ctx)
}
