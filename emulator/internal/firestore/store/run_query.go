package store

import (
	"fmt"
	"iter"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// Run yields the documents a query matches, in its order, within its cursors, offset and limit. An error is the last
// thing it yields.
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

// matches yields what matches the filter, in order; cursors only bound where it looks.
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

// source reads one range of a plan, where its index is there to be read.
func (sn *Snapshot) rangeSource(q *query.Query, r query.Range) (iter.Seq2[*document.Document, error], bool) {
	if sn.historical || q.Collection == "" {
		return nil, false
	}
	if r.Index == nil {
		low, high := scanBounds(q)
		prefix := documentsPrefix(q.Database, q.Collection)
		if r.Lower != nil {
			low = maxKey(low, slices.Concat(prefix, r.Lower))
		}
		if r.Upper != nil {
			high = minUpperKey(high, slices.Concat(prefix, r.Upper))
		}
		return sn.scanDocuments(q, prefix, low, high, r.Reverse), true
	}
	low, high, ok := sn.indexRange(q, r)
	return sn.scanIndex(q, low, high, r.Reverse), ok
}

// indexRange is where a range of a plan lies, where its index is there to be read.
func (sn *Snapshot) indexRange(q *query.Query, r query.Range) (low, high []byte, ok bool) {
	i, ready := sn.store.indexes.find(r.Index, sn.Time)
	if !ready {
		return nil, nil, false
	}
	prefix := r.Index.AppendScope(indexPrefix(i.number), q.Parent)
	low, high = slices.Concat(prefix, r.Lower), name.PrefixEnd(prefix)
	if r.Upper != nil {
		high = slices.Concat(prefix, r.Upper)
	}
	return low, high, true
}

// scope is the range of the documents that a query of one collection ID looks at.
func scanBounds(q *query.Query) (low, high []byte) {
	low = name.AppendKey(documentsPrefix(q.Database, q.Collection), q.Parent)
	if !q.Descendants {
		low = name.AppendKey(low, name.Path{q.Collection})
	}
	return low, name.PrefixEnd(low)
}

// documents yields the matches among the documents themselves.
func (sn *Snapshot) scanDocuments(q *query.Query, prefix, low, high []byte, reverse bool) iter.Seq2[*document.Document, error] {
	return sn.scanRange(low, high, reverse, func(key, value []byte) (*document.Document, error) {
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

// indexed yields the matches that a range of an index leads to.
func (sn *Snapshot) scanIndex(q *query.Query, low, high []byte, reverse bool) iter.Seq2[*document.Document, error] {
	return sn.scanRange(low, high, reverse, func(key, value []byte) (*document.Document, error) {
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

// each reads a key range and yields what load makes of it, nil for nothing.
func (sn *Snapshot) scanRange(low, high []byte, reverse bool, load func(key, value []byte) (*document.Document, error)) iter.Seq2[*document.Document, error] {
	return func(yield func(*document.Document, error) bool) {
		if high != nil && slices.Compare(low, high) >= 0 {
			return
		}
		it, err := sn.reader.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
		if err != nil {
			yield(nil, fmt.Errorf("scan: %w", err))
			return
		}
		first, next := it.First, it.Next
		if reverse {
			first, next = it.Last, it.Prev
		}
		for ok := first(); ok; ok = next() {
			d, err := load(it.Key(), it.Value())
			if d == nil && err == nil {
				continue
			}
			if !yield(d, err) || err != nil {
				_ = it.Close() // only reports what the iteration already did
				return
			}
		}
		if err := it.Close(); err != nil {
			yield(nil, fmt.Errorf("scan: %w", err))
		}
	}
}

func maxKey(a, b []byte) []byte {
	if slices.Compare(a, b) < 0 {
		return b
	}
	return a
}

// smaller treats a nil a as the end of all keys.
func minUpperKey(a, b []byte) []byte {
	if a == nil || slices.Compare(b, a) < 0 {
		return b
	}
	return a
}
