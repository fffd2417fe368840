// Package txn keeps the open transactions: what each has read, and when it expires.
//
// It receives the reads of a transaction and returns, at each later read and at the commit, whether they are still
// valid. It writes nothing and does not run queries.
//
// Read-write transactions are optimistic, as in a database whose concurrencyMode is OPTIMISTIC: reads take no lock. A
// read or commit is aborted if anything that the transaction has read before was changed, so all that a transaction
// sees existed at one time, the time of its newest read. Only documents with a recent conflict are read by one
// transaction at a time, so that many concurrent retries succeed one after another.
package txn

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// Transaction is one open transaction. It is safe for concurrent use.
type Transaction struct {
	ID       string
	Database name.Database
	// Snapshot is the snapshot that a read-only transaction reads. It is nil in a read-write transaction, which reads
	// the newest versions.
	Snapshot *store.Snapshot

	contention *contention

	mu        sync.Mutex
	newest    *store.Snapshot // of the newest read: all reads are valid in it; nil before the first read
	readers   int             // calls that read newest
	documents map[string]documentRead
	queries   []queryRead
	releases  []func() // release the read queues that the transaction holds
	ended     bool
}

// documentRead is the version of a document that was read: its update time, zero if it was missing.
type documentRead struct {
	path       name.Path
	updateTime document.Time
}

// queryRead is a query that was run. It covers all matches up to last, or all matches if last is nil.
type queryRead struct {
	query *query.Query
	last  *document.Document
}

// BeginRead returns the snapshot for a read of a read-write transaction, or ABORTED if an earlier read is not valid in
// it. Reads at the same time get the same snapshot. The caller calls EndRead, and closes the snapshot.
func (t *Transaction) BeginRead(s *store.Store) (*store.Snapshot, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.readers > 0 && t.newest.Retain() {
		t.readers++
		return t.newest, nil
	}
	sn, err := s.Snapshot(t.Database)
	if err != nil {
		return nil, err
	}
	if err := t.checkSnapshot(sn); err != nil {
		_ = sn.Close() // frees memory only
		return nil, err
	}
	t.newest, t.readers = sn, 1
	return sn, nil
}

// checkSnapshot checks that all earlier reads are valid in a snapshot.
func (t *Transaction) checkSnapshot(sn *store.Snapshot) error {
	switch {
	case t.newest == nil || sn.Equal(t.newest):
		return nil
	case sn.Rewound(): // an earlier read may have seen a commit that waits for space
		return status.Error(codes.Unavailable, "The disk is full, so this transaction cannot go on.")
	}
	return t.check(sn.View(t.Database))
}

// EndRead ends a read: the transaction has recorded what it has read.
func (t *Transaction) EndRead() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers--
}

// RecordRead records that a document was read. d is nil if it was missing.
func (t *Transaction) RecordRead(p name.Path, d *document.Document) {
	read := documentRead{path: p}
	if d != nil {
		read.updateTime = d.UpdateTime
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.documents[p.String()] = read
}

// RecordQuery records that a query was run. last is the last result if the query reached its limit, else nil.
func (t *Transaction) RecordQuery(q *query.Query, last *document.Document) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queries = append(t.queries, queryRead{query: q, last: last})
}

// Check returns ABORTED if anything that the transaction has read was changed.
func (t *Transaction) Check(v *store.View) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.check(v)
}

func (t *Transaction) check(v *store.View) error {
	for _, s := range t.documents {
		d, err := v.Get(s.path)
		if err != nil {
			return err
		}
		if (d == nil) != (s.updateTime == 0) || d != nil && d.UpdateTime != s.updateTime {
			return t.abortedError(s.path)
		}
	}
	for _, s := range t.queries {
		var changed name.Path
		err := v.ForEachChangedSince(t.newest.Time, func(c store.Change) bool {
			if s.affectedBy(c.Old) || s.affectedBy(c.New) {
				changed = c.Path
			}
			return changed == nil
		})
		if err != nil {
			return err
		}
		if changed != nil {
			return t.abortedError(changed)
		}
	}
	return nil
}

func (s queryRead) affectedBy(d *document.Document) bool {
	return s.query.Matches(d) && (s.last == nil || s.query.Compare(d, s.last) <= 0)
}

func (t *Transaction) abortedError(p name.Path) error {
	t.contention.recordConflict(documentKey{t.Database, p.String()})
	return status.Errorf(codes.Aborted, "Too much contention on these documents (%s). Please try again.", p)
}

// releaseOnEnd calls release when the transaction ends.
func (t *Transaction) releaseOnEnd(release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		release()
		return
	}
	t.releases = append(t.releases, release)
}

// end releases the read queues and the snapshot. It may be called again.
func (t *Transaction) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	for _, release := range t.releases {
		release()
	}
	if t.Snapshot != nil {
		_ = t.Snapshot.Close() // frees memory only
	}
}
