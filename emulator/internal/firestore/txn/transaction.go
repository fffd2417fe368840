// Package txn keeps the open transactions: what each has read, and when it expires.
//
// It receives the reads of a transaction and returns, at the commit, whether they are still valid. It writes nothing
// and does not run queries.
//
// Read-write transactions are optimistic, as in a database whose concurrencyMode is OPTIMISTIC: reads take no lock, and
// a commit is aborted if anything that the transaction has read was changed. Only documents with a recent conflict are
// read by one transaction at a time, so that many concurrent retries succeed one after another.
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

	mu           sync.Mutex
	documents    map[string]documentRead
	queries      []queryRead
	conflictPath name.Path // a document that was read twice, in different versions; nil for none
	releases     []func()  // release the read queues that the transaction holds
	ended        bool
}

// documentRead is the version of a document that was read: its update time, zero if it was missing.
type documentRead struct {
	path       name.Path
	updateTime document.Time
}

// queryRead is a query that was run. It covers all matches up to last, or all matches if last is nil.
type queryRead struct {
	query    *query.Query
	readTime document.Time
	last     *document.Document
}

// RecordRead records that a document was read. d is nil if it was missing.
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

// RecordQuery records that a query was run at a time. last is the last result if the query reached its limit, else
// nil.
func (t *Transaction) RecordQuery(q *query.Query, at document.Time, last *document.Document) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queries = append(t.queries, queryRead{query: q, readTime: at, last: last})
}

// Check returns ABORTED if anything that the transaction has read was changed.
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
