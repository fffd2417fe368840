// Package store keeps documents, their indexes and their recent history in one ordered store on disk.
//
// It receives writes and queries, and returns commit times, snapshots, query results and the changes of each commit. It
// knows no transactions and no requests: a function of the caller validates a commit.
//
// Commits run one after another through a short critical section, which reads, checks and applies them and queues them
// for the disk. They wait for the disk outside of it, and many of them share one fsync. Every commit has a different
// time. A snapshot at a time contains exactly the commits up to that time.
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

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// Options configure a store.
type Options struct {
	// Now is the wall clock. If it goes back, the times of the store still do not.
	Now func() time.Time
	// ScanLimit is the number of documents up to which queries scan instead of building an index. Zero means 200.
	ScanLimit int
	// OnCommit receives every commit that changed something, in order, when it is on disk. It must not block.
	OnCommit func(Event)
}

// Event is one commit.
type Event struct {
	Time     document.Time
	Database name.Database
	Changes  []Change
}

// Change is the change of one document in a commit. Old is nil for a created document, New for a deleted one.
type Change struct {
	Path     name.Path
	Old, New *document.Document
}

// Store is safe for concurrent use.
type Store struct {
	db  *disk.DB
	now func() time.Time

	// commitMu serializes commits and the steps of building an index. It is locked before clock. A commit that waits
	// for space on the disk holds both, so all that lock it run in disk.DB's Write or Run.
	commitMu sync.Mutex
	// clock makes it atomic to take a snapshot with its time, and to apply a commit with its time.
	clock        mutex
	latestTime   document.Time // newest time of a snapshot or commit
	inFlightTime document.Time // time of the commit in the critical section; zero if there is none
	syncQueue    *syncQueue

	indexes     indexes
	scanLimit   int
	trimmedUpTo atomic.Int64 // document.Time up to which the history was deleted
}

// Open opens the store. It takes ownership of db.
func Open(db *disk.DB, o Options) (*Store, error) {
	s := &Store{db: db, now: o.Now, clock: newMutex(), scanLimit: cmp.Or(o.ScanLimit, defaultScanLimit)}
	if s.now == nil {
		s.now = time.Now
	}
	if err := errors.Join(s.loadClock(), s.loadIndexes()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.syncQueue = startSyncQueue(s.latestTime, o.OnCommit)
	return s, nil
}

// Close waits until all commits are on disk, unless it is full. No other call may be active.
func (s *Store) Close() error {
	s.syncQueue.stop(s.db.Full())
	return s.db.Close()
}

// mutex is a mutex that can be waited for together with something else.
type mutex chan struct{}

func newMutex() mutex { return make(mutex, 1) }

func (m mutex) lock()   { m <- struct{}{} }
func (m mutex) unlock() { <-m }

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

// reserveCommitTime returns a time after all earlier times of snapshots and commits. The caller holds commitMu.
func (s *Store) reserveCommitTime() document.Time {
	s.clock.lock()
	defer s.clock.unlock()
	s.inFlightTime = max(document.TimeOf(s.now()), s.latestTime+1)
	return s.inFlightTime
}

// readTime returns a time not before any applied commit. No later commit gets this time. The caller holds clock.
func (s *Store) readTime() document.Time {
	t := max(document.TimeOf(s.now()), s.latestTime)
	if s.inFlightTime != 0 {
		t = min(t, s.inFlightTime-1)
	}
	s.latestTime = t
	return t
}
