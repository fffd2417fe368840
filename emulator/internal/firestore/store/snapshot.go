package store

import (
	"context"
	"errors"
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

// Snapshot returns the current content of one database. All commits in it are at or before its time, all later ones
// after it. While the disk is full, it is the content on disk, without the commits that wait for space.
func (s *Store) Snapshot(db name.Database) (*Snapshot, error) {
	sn, exact := s.newSnapshot()
	if exact {
		return sn, nil
	}
	if err := sn.rewind(db, sn.Time); err != nil {
		_ = sn.Close() // frees memory only
		return nil, err
	}
	sn.historical = len(sn.pastDocuments) > 0 // if nothing waits, it can use indexes
	return sn, nil
}

// SnapshotAt returns the content of one database at a past time. It fails with ErrTooOld or ErrInFuture.
func (s *Store) SnapshotAt(db name.Database, t document.Time) (*Snapshot, error) {
	sn, exact := s.newSnapshot()
	err := sn.rewindTo(db, t)
	if errors.Is(err, ErrInFuture) && !exact {
		err = s.db.WaitingError()
	}
	if err != nil {
		_ = sn.Close() // frees memory only
		return nil, err
	}
	return sn, nil
}

// newSnapshot returns the current content. If a commit waits for space, exact is false: the time is that of the newest
// commit on disk, and the content may include later commits.
func (s *Store) newSnapshot() (sn *Snapshot, exact bool) {
	full := s.db.Full()
	select {
	case <-full: // even if the clock is free
		return s.durableSnapshot(), false
	default:
	}
	select {
	case s.clock <- struct{}{}:
	case <-full:
		return s.durableSnapshot(), false
	}
	defer s.clock.unlock()
	return &Snapshot{Time: s.readTime(), store: s, reader: s.db.NewSnapshot(), newest: s.syncQueue.newest(), refCount: 1}, true
}

func (s *Store) durableSnapshot() *Snapshot {
	t := s.syncQueue.durableTime() // before the content, which then includes all commits up to this time
	return &Snapshot{Time: t, store: s, reader: s.db.NewSnapshot(), newest: onDisk(), refCount: 1}
}

// rewindTo rewinds to a time that the history must reach.
func (sn *Snapshot) rewindTo(db name.Database, t document.Time) error {
	if t > sn.Time {
		return ErrInFuture
	}
	if err := sn.rewind(db, t); err != nil {
		return err
	}
	// Check this last, because the history may have been trimmed while it was read.
	if int64(t) < sn.store.trimmedUpTo.Load() {
		return ErrTooOld
	}
	return nil
}

func (sn *Snapshot) rewind(db name.Database, t document.Time) error {
	sn.historical, sn.pastDocuments = true, map[string]*document.Document{}
	for h, err := range history(sn.reader, db, t) {
		if err != nil {
			return err
		}
		if key := h.path.String(); !sn.changedSince(key) {
			sn.pastDocuments[key] = h.old
		}
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

// View returns the documents of one database in the snapshot. If it was rewound, they may be later versions.
func (sn *Snapshot) View(db name.Database) *View { return &View{reader: sn.reader, db: db} }

// Rewound reports whether the snapshot leaves out commits that are in its View.
func (sn *Snapshot) Rewound() bool { return sn.historical }

// Equal reports whether the snapshot is certain to have the same content as another one.
func (sn *Snapshot) Equal(to *Snapshot) bool { return sn.newest == to.newest }

// Get returns a document; nil if it is missing.
func (sn *Snapshot) Get(db name.Database, p name.Path) (*document.Document, error) {
	if sn.historical {
		if key := p.String(); sn.changedSince(key) {
			return sn.pastDocuments[key], nil
		}
	}
	return get(sn.reader, db, p)
}

// WaitDurable returns when all commits in the snapshot are on disk: a crash must not undo what a client has read. If
// the disk gets full, it returns a *disk.FullError; a new snapshot has what is on disk.
func (sn *Snapshot) WaitDurable(ctx context.Context) error { return sn.newest.wait(ctx, sn.store) }

// WaitDurable returns when all commits so far are on disk.
func (s *Store) WaitDurable(ctx context.Context) error { return s.syncQueue.newest().wait(ctx, s) }

// WaitDocumentDurable returns when a document of the snapshot is on disk. d is nil for a missing document.
func (sn *Snapshot) WaitDocumentDurable(ctx context.Context, d *document.Document) error {
	if d != nil && d.UpdateTime <= sn.store.syncQueue.durableTime() {
		return nil
	}
	return sn.WaitDurable(ctx)
}
