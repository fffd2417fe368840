package store

import (
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// RunQuery yields the results of a query in order, within its cursors, offset and limit. After an error it yields
// nothing more.
func (sn *Snapshot) RunQuery(q *query.Query) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		skip, remaining := q.Offset, q.LimitOr(-1)
		for d, err := range sn.matching(q) {
			if err != nil {
				yield(nil, err)
				return
			}
			if q.BeforeStart(d) {
				continue
			}
			if q.AfterEnd(d) {
				return
			}
			if skip > 0 {
				skip--
				continue
			}
			if !yield(d, nil) {
				return
			}
			if remaining--; remaining == 0 {
				return
			}
		}
	}
}

// matching yields the documents that match the filter, in order. It may include documents outside of the cursors.
func (sn *Snapshot) matching(q *query.Query) iter.Seq2[*document.Document, error] {
	plan := q.Plan()
	var sources []iter.Seq2[*document.Document, error]
	for _, r := range plan {
		source, ok := sn.rangeSource(q, r)
		if !ok {
			return sn.scanAndSort(q)
		}
		sources = append(sources, source)
	}
	return mergeSorted(q, sources)
}

// rangeSource yields the matches in one range of a plan. It returns false if the index is not available.
func (sn *Snapshot) rangeSource(q *query.Query, r query.Range) (iter.Seq2[*document.Document, error], bool) {
	if sn.historical || q.Collection == "" {
		return nil, false
	}
	if r.Index == nil {
		prefix := documentsPrefix(q.Database, q.Collection)
		return sn.scanDocuments(q, prefix, scan{keys: scopeKeys(q).Intersect(r.Keys.Under(prefix)), reverse: r.Reverse}), true
	}
	keys, ok := sn.indexKeys(q, r)
	return sn.scanIndex(q, scan{keys: keys, reverse: r.Reverse}), ok
}

// indexKeys returns the keys of a range of a plan in its index. It returns false if the index is not available.
func (sn *Snapshot) indexKeys(q *query.Query, r query.Range) (keyrange.Range, bool) {
	i, ready := sn.store.indexes.find(r.Index, sn.Time)
	if !ready {
		return keyrange.Range{}, false
	}
	return r.Keys.Under(r.Index.AppendScope(indexPrefix(i.number), q.Parent)), true
}

// scopeKeys returns the keys of all documents in the scope of a query that has a collection ID.
func scopeKeys(q *query.Query) keyrange.Range {
	prefix := name.AppendKey(documentsPrefix(q.Database, q.Collection), q.Parent)
	if !q.Descendants {
		prefix = name.AppendKey(prefix, name.Path{q.Collection})
	}
	return keyrange.WithPrefix(prefix)
}

// scan says which keys to read, and whether from the end.
type scan struct {
	keys    keyrange.Range
	reverse bool
}

// scanDocuments yields the matches among documents whose keys have the prefix.
func (sn *Snapshot) scanDocuments(q *query.Query, prefix []byte, s scan) iter.Seq2[*document.Document, error] {
	return sn.scan(s, func(key, value []byte) (*document.Document, error) {
		p, err := pathOf(prefix, key)
		if err != nil || !q.InScope(p) {
			return nil, err
		}
		d, err := document.Decode(p, value)
		if err != nil || !q.Matches(d) {
			return nil, err
		}
		return d, nil
	})
}

// scanIndex yields the matches among the documents of index entries.
func (sn *Snapshot) scanIndex(q *query.Query, s scan) iter.Seq2[*document.Document, error] {
	return sn.scan(s, func(key, value []byte) (*document.Document, error) {
		p, err := indexedPath(key, value)
		if err != nil || !q.InScope(p) {
			return nil, err
		}
		d, err := sn.Get(q.Database, p)
		if err != nil || !q.Matches(d) {
			return nil, err
		}
		return d, nil
	})
}

// scan yields the documents that load returns for the keys. It skips nil.
func (sn *Snapshot) scan(s scan, load func(key, value []byte) (*document.Document, error)) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		if s.keys.Empty() {
			return
		}
		it, err := sn.reader.NewIter(&pebble.IterOptions{LowerBound: s.keys.Lower, UpperBound: s.keys.Upper})
		if err != nil {
			yield(nil, fmt.Errorf("scan: %w", err))
			return
		}
		first, next := it.First, it.Next
		if s.reverse {
			first, next = it.Last, it.Prev
		}
		for ok := first(); ok; ok = next() {
			d, err := load(it.Key(), it.Value())
			if d == nil && err == nil {
				continue
			}
			if !yield(d, err) || err != nil {
				_ = it.Close() // its error is err, if there is one
				return
			}
		}
		if err := it.Close(); err != nil {
			yield(nil, fmt.Errorf("scan: %w", err))
		}
	}
}
