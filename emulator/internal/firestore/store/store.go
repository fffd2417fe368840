// Package store keeps documents, their indexes and their recent history in one ordered store on disk.
//
// Commits pass one after another through a short critical section that reads, checks, applies and queues them for the
// log on disk; they wait for the disk outside of it, many to one fsync. Every commit has a time of its own; a
// snapshot at a time holds exactly the commits up to it.
package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// Options configure a store.
type Options struct {
	// Now is the wall clock. The store never shows a time earlier than one it has shown before.
	Now func() time.Time
	// FreeScan is how many documents a query may read without an index. Zero: a number found good.
	ScanLimit int
	// OnCommit hears of every commit that changed something, in order, once it is on disk. It must not block.
	OnCommit func(Event)
}

// Event is one commit.
type Event struct {
	Time     document.Time
	Database name.Database
	Changes  []Change
}

// Change is what a commit made of one document; Old or New is nil where there was, or is, none.
type Change struct {
	Path     name.Path
	Old, New *document.Document
}

// Store is safe for concurrent use.
type Store struct {
	db  *pebble.DB
	now func() time.Time

	// commitMu makes commits, and steps of building indexes, one after another. It is taken before clockMu.
	commitMu sync.Mutex
	// clockMu makes a snapshot and its time one, and the application of a commit and its time.
	clockMu      sync.Mutex
	latestTime   document.Time // newest time shown to anybody
	inFlightTime document.Time // time of the commit being made; zero: none
	syncQueue    *syncQueue

	indexes     indexes
	scanLimit   int
	trimmedUpTo atomic.Int64 // history up to this document.Time is gone
}

// Open takes over db, which Close closes.
func Open(db *pebble.DB, o Options) (*Store, error) {
	s := &Store{db: db, now: o.Now, scanLimit: cmp.Or(o.ScanLimit, defaultScanLimit)}
	if s.now == nil {
		s.now = time.Now
	}
	if err := errors.Join(s.loadClock(), s.loadIndexes()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.syncQueue = startSyncQueue(o.OnCommit)
	return s, nil
}

// Close waits for the commits under way to be on disk. Nothing else may be running.
func (s *Store) Close() error {
	s.syncQueue.stop()
	return s.db.Close()
}

func (s *Store) loadClock() error {
	latest, err := s.loadTime(clockKey)
	if err != nil {
		return err
	}
	trimmed, err := s.loadTime(trimmedKey)
	s.latestTime = latest
	s.trimmedUpTo.Store(int64(trimmed))
	return err
}

func (s *Store) loadTime(key []byte) (document.Time, error) {
	raw, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	defer closer.Close()
	if len(raw) != 8 {
		return 0, errMalformedKey
	}
	return document.Time(binary.BigEndian.Uint64(raw)), nil
}

// reserve begins a commit: it returns a time later than any shown before. The caller holds commitMu.
func (s *Store) reserveCommitTime() document.Time {
	s.clockMu.Lock()
	defer s.clockMu.Unlock()
	s.inFlightTime = max(document.TimeOf(s.now()), s.latestTime+1)
	return s.inFlightTime
}

// readTime is a time no commit will have any more, at or after all that have been made. The caller holds clockMu.
func (s *Store) readTime() document.Time {
	t := max(document.TimeOf(s.now()), s.latestTime)
	if s.inFlightTime != 0 {
		t = min(t, s.inFlightTime-1)
	}
	s.latestTime = t
	return t
}
