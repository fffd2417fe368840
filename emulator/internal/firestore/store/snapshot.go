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
	newest *entry // newest commit it may hold
	// rewound holds, for a snapshot of the past, the documents changed since, as they were.
	rewound map[string]*document.Document
	past    bool

	mu    sync.Mutex
	users int // who have yet to close it
}

// Snapshot returns the store as it is now. Its time is not before any commit in it, and all later commits are after it.
func (s *Store) Snapshot() *Snapshot {
	s.clockMu.Lock()
	defer s.clockMu.Unlock()
	return &Snapshot{Time: s.readTime(), store: s, reader: s.db.NewSnapshot(), newest: s.feed.newest(), users: 1}
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
		return ErrFuture
	}
	sn.past, sn.rewound = true, map[string]*document.Document{}
	for step, err := range history(sn.reader, db, t) {
		if err != nil {
			return err
		}
		if key := step.path.String(); !sn.changed(key) {
			sn.rewound[key] = step.old
		}
	}
	// Looked at last: what was there to read may have been trimmed meanwhile.
	if int64(t) < sn.store.trimmed.Load() {
		return ErrForgotten
	}
	sn.Time = t
	return nil
}

func (sn *Snapshot) changed(key string) bool {
	_, ok := sn.rewound[key]
	return ok
}

// Share adds a user, who closes the snapshot as well. It is false where the last user has closed it already.
func (sn *Snapshot) Share() bool {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.users == 0 {
		return false
	}
	sn.users++
	return true
}

// Close ends one use of the snapshot; the last frees it.
func (sn *Snapshot) Close() error {
	sn.mu.Lock()
	defer sn.mu.Unlock()
	if sn.users--; sn.users > 0 {
		return nil
	}
	return sn.reader.Close()
}

// Get returns a document, nil where there is none.
func (sn *Snapshot) Get(db name.Database, p name.Path) (*document.Document, error) {
	if sn.past {
		if key := p.String(); sn.changed(key) {
			return sn.rewound[key], nil
		}
	}
	return get(sn.reader, db, p)
}

// Durable returns once everything in the snapshot is on disk: what a client has read must not be gone after a crash.
func (sn *Snapshot) Durable(ctx context.Context) error {
	select {
	case <-sn.newest.done:
		return sn.newest.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// DurableDocument returns once a document read from the snapshot is on disk, or its absence.
func (sn *Snapshot) DurableDocument(ctx context.Context, d *document.Document) error {
	if d != nil && sn.store.feed.isDurable(d.Update) {
		return nil
	}
	return sn.Durable(ctx)
}
