// Package meter counts what the cloud bills and throttles: document reads, writes and deletes, the writes of each
// document, and the writes into each range of an index that grows at its end.
//
// It receives the results of calls and the commits, and returns a Report. It refuses nothing.
package meter

import (
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/firestore/indexes"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// entriesPerRead is the number of index entries that an aggregation reads for the price of one document.
const entriesPerRead = 1000

// Report is what the cloud would bill and throttle, since the server was opened.
type Report struct {
	Total Usage
	// Collections is the usage of each collection group. Reads that belong to none count only in Total.
	Collections map[string]Usage
	// Documents were written more often than the cloud sustains, the fastest first.
	Documents []Rate
	// Ranges are the fastest ranges of indexes that grow at their end, the fastest first. Those beyond their limit are
	// throttled in the cloud.
	Ranges []Rate
	// Queries are the forms of all queries of the servers that share the Indexes.
	Queries []indexes.Query
}

// Usage is a number of billed operations.
type Usage struct {
	Reads   Reads
	Writes  int64 // of documents
	Deletes int64
}

// Reads are billed document reads, by what has caused them.
type Reads struct {
	Gets         int64 // one for each document, also for a missing one
	Queries      int64 // one for each result, at least one for each query
	Aggregations int64 // one for each 1,000 index entries that are begun
	Listeners    int64 // one for each document that is sent, at least one for each target
	Lists        int64 // one for each document of a list, at least one; one for each list of collections
}

// Sum returns the number of all billed reads.
func (r Reads) Sum() int64 { return r.Gets + r.Queries + r.Aggregations + r.Listeners + r.Lists }

// Rate is the highest write rate of a document or of a range of an index.
type Rate struct {
	Resource string  // path of the document; index, scope and leading values of the range
	Peak     float64 // writes a second, on average over Window
	Limit    float64 // what the cloud sustains
	Windows  int     // how many windows were beyond the limit
}

// Exceeded reports whether the cloud would have throttled.
func (r Rate) Exceeded() bool { return r.Peak > r.Limit }

// Exceeded returns the rates that the cloud would have throttled.
func (r Report) Exceeded() (out []Rate) {
	out = slices.Clone(r.Documents)
	for _, rate := range r.Ranges {
		if rate.Exceeded() {
			out = append(out, rate)
		}
	}
	return out
}

// Meter is safe for concurrent use. A nil Meter counts nothing.
type Meter struct {
	indexes *indexes.Set
	log     *zap.Logger

	mu          sync.Mutex
	total       Usage
	collections map[string]*Usage

	commitMu  sync.Mutex
	documents documentRates
	ranges    rangeRates
}

// New returns a Meter of a database with these indexes. It logs each rate beyond its limit once.
func New(x *indexes.Set, log *zap.Logger) *Meter {
	return &Meter{
		indexes: x, log: log, collections: map[string]*Usage{},
		documents: newDocumentRates(log), ranges: newRangeRates(x, log),
	}
}

// Kind says what has caused reads.
type Kind func(*Reads) *int64

// The kinds of reads.
var (
	Get    Kind = func(r *Reads) *int64 { return &r.Gets }
	Query  Kind = func(r *Reads) *int64 { return &r.Queries }
	List   Kind = func(r *Reads) *int64 { return &r.Lists }
	Listen Kind = func(r *Reads) *int64 { return &r.Listeners }

	aggregation Kind = func(r *Reads) *int64 { return &r.Aggregations }
)

// AddReads counts n billed reads.
func (m *Meter) AddReads(kind Kind, collection string, n int) {
	m.add(collection, func(u *Usage) { *kind(&u.Reads) += int64(n) })
}

// AddAggregation counts an aggregation over a number of index entries.
func (m *Meter) AddAggregation(collection string, entries int) {
	m.AddReads(aggregation, collection, max(1, (entries+entriesPerRead-1)/entriesPerRead))
}

// AddWrite counts one write or delete of a document, which is billed also if it changes nothing.
func (m *Meter) AddWrite(collection string, isDelete bool) {
	m.add(collection, func(u *Usage) {
		if isDelete {
			u.Deletes++
		} else {
			u.Writes++
		}
	})
}

func (m *Meter) add(collection string, f func(*Usage)) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.total)
	if collection == "" {
		return
	}
	u := m.collections[collection]
	if u == nil {
		u = &Usage{}
		m.collections[collection] = u
	}
	f(u)
}

// RecordCommit measures the rates of a commit. The commits arrive in the order of their times.
func (m *Meter) RecordCommit(e store.Event) {
	if m == nil {
		return
	}
	m.commitMu.Lock()
	defer m.commitMu.Unlock()
	for _, c := range e.Changes {
		m.documents.record(e, c)
		if c.New != nil {
			m.indexes.RecordDocument(c.Path.Collection(), c.New.Fields)
			m.ranges.record(e, c)
		}
	}
}

// Report returns what was counted so far.
func (m *Meter) Report() Report {
	m.mu.Lock()
	r := Report{Total: m.total, Collections: make(map[string]Usage, len(m.collections))}
	for name, u := range m.collections {
		r.Collections[name] = *u
	}
	m.mu.Unlock()
	m.commitMu.Lock()
	r.Documents = sortRates(maps.Clone(m.documents.exceeded))
	r.Ranges = m.ranges.rates()
	m.commitMu.Unlock()
	r.Queries = m.indexes.Queries()
	return r
}
