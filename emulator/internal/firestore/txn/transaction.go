// Package txn keeps the open transactions: what each has read, whether that still holds, and when it has been idle
// for too long.
//
// Read-write transactions are optimistic, as in a database whose concurrencyMode is OPTIMISTIC: reading takes no lock,
// and a commit aborts if anything the transaction has read changed meanwhile. Only documents that have just been
// fought over are read in turns, so that a crowd of retries passes in single file rather than by luck.
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

// Transaction is safe for concurrent use.
type Transaction struct {
	ID       string
	Database name.Database
	// Snapshot is what a read-only transaction reads; nil in a read-write transaction, which reads what is newest.
	Snapshot *store.Snapshot

	contention *contention

	mu           sync.Mutex
	documents    map[string]documentRead
	queries      []queryRead
	conflictPath name.Path // read twice, and different
	releases     []func()  // turns to give back
	ended        bool
}

// seen is the version of a document that was read: its update time, zero where it was missing.
type documentRead struct {
	path       name.Path
	updateTime document.Time
}

// seenQuery is a query that was run: everything it matched up to last, or everything where last is nil.
type queryRead struct {
	query    *query.Query
	readTime document.Time
	last     *document.Document
}

// SawDocument remembers that a document was read; d is nil where it was missing.
func (t *Transaction) RecordRead(p name.Path, d *document.Document) {
	read := documentRead{path: p}
	if d != nil {
		read.updateTime = d.UpdateTime
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := p.String()
	if before, ok := t.documents[key]; ok && before.updateTime != read.updateTime {
		t.conflictPath = p
		return
	}
	t.documents[key] = read
}

// SawQuery remembers that a query was run on the documents of a time. last is the last result where the limit of the
// query left out others behind it, else nil.
func (t *Transaction) RecordQuery(q *query.Query, at document.Time, last *document.Document) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queries = append(t.queries, queryRead{query: q, readTime: at, last: last})
}

// Check fails with ABORTED unless everything the transaction has read is still so.
func (t *Transaction) Check(v *store.View) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conflictPath != nil {
		return t.abortedError(t.conflictPath)
	}
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
		err := v.ForEachChangedSince(s.readTime, func(c store.Change) bool {
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

// hold keeps a turn until the transaction ends.
func (t *Transaction) releaseOnEnd(release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		release()
		return
	}
	t.releases = append(t.releases, release)
}

// end gives back what the transaction holds. It may be called again.
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
