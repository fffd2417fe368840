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

	turns *turns

	mu        sync.Mutex
	documents map[string]seen
	queries   []seenQuery
	stale     name.Path // read twice, and different
	held      []func()  // turns to give back
	ended     bool
}

// seen is the version of a document that was read: its update time, zero where it was missing.
type seen struct {
	path   name.Path
	update document.Time
}

// seenQuery is a query that was run: everything it matched up to last, or everything where last is nil.
type seenQuery struct {
	query *query.Query
	at    document.Time
	last  *document.Document
}

// SawDocument remembers that a document was read; d is nil where it was missing.
func (t *Transaction) SawDocument(p name.Path, d *document.Document) {
	now := seen{path: p}
	if d != nil {
		now.update = d.Update
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	key := p.String()
	if before, ok := t.documents[key]; ok && before.update != now.update {
		t.stale = p
		return
	}
	t.documents[key] = now
}

// SawQuery remembers that a query was run on the documents of a time. last is the last result where the limit of the
// query left out others behind it, else nil.
func (t *Transaction) SawQuery(q *query.Query, at document.Time, last *document.Document) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queries = append(t.queries, seenQuery{query: q, at: at, last: last})
}

// Check fails with ABORTED unless everything the transaction has read is still so.
func (t *Transaction) Check(v *store.View) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale != nil {
		return t.conflict(t.stale)
	}
	for _, s := range t.documents {
		d, err := v.Get(s.path)
		if err != nil {
			return err
		}
		if (d == nil) != (s.update == 0) || d != nil && d.Update != s.update {
			return t.conflict(s.path)
		}
	}
	for _, s := range t.queries {
		var changed name.Path
		err := v.ChangedSince(s.at, func(c store.Change) bool {
			if s.concerns(c.Old) || s.concerns(c.New) {
				changed = c.Path
			}
			return changed == nil
		})
		if err != nil {
			return err
		}
		if changed != nil {
			return t.conflict(changed)
		}
	}
	return nil
}

func (s seenQuery) concerns(d *document.Document) bool {
	return s.query.Matches(d) && (s.last == nil || s.query.Compare(d, s.last) <= 0)
}

func (t *Transaction) conflict(p name.Path) error {
	t.turns.contend(turnKey{t.Database, p.String()})
	return status.Errorf(codes.Aborted, "Too much contention on these documents (%s). Please try again.", p)
}

// hold keeps a turn until the transaction ends.
func (t *Transaction) hold(release func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		release()
		return
	}
	t.held = append(t.held, release)
}

// end gives back what the transaction holds. It may be called again.
func (t *Transaction) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	t.ended = true
	for _, release := range t.held {
		release()
	}
	if t.Snapshot != nil {
		_ = t.Snapshot.Close() // frees memory only
	}
}
