package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// Count counts what Run would yield from keys alone; ok is false where the documents themselves have to be read.
func (sn *Snapshot) Count(q *query.Query) (n int, ok bool, err error) {
	if sn.historical || q.Collection == "" || q.Start != nil || q.End != nil {
		return 0, false, nil
	}
	plan := q.Plan()
	seen := map[string]bool{} // a document may answer several alternatives
	for _, r := range plan {
		low, high, found := sn.exactRange(q, r)
		if !found {
			return 0, false, nil
		}
		err := sn.scanPaths(q, r, low, high, func(p name.Path) {
			if len(plan) > 1 {
				seen[p.String()] = true
				n = len(seen)
			} else {
				n++
			}
		})
		if err != nil {
			return 0, false, err
		}
	}
	n = max(0, n-q.Offset)
	return min(n, q.LimitOr(n)), true, nil
}

func (sn *Snapshot) exactRange(q *query.Query, r query.Range) (low, high []byte, ok bool) {
	if !r.Exact {
		return nil, nil, false
	}
	if r.Index == nil {
		low, high = scanBounds(q)
		return low, high, true
	}
	return sn.indexRange(q, r)
}

// paths calls f with the paths in a range that are in the scope of the query.
func (sn *Snapshot) scanPaths(q *query.Query, r query.Range, low, high []byte, f func(name.Path)) error {
	it, err := sn.reader.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	prefix := documentsPrefix(q.Database, q.Collection)
	for it.First(); it.Valid(); it.Next() {
		var p name.Path
		var err error
		if r.Index == nil {
			p, err = pathOf(prefix, it.Key())
		} else {
			p, err = indexedPath(it.Key(), it.Value())
		}
		if err != nil {
			_ = it.Close() // the first error counts
			return err
		}
		if q.InScope(p) {
			f(p)
		}
	}
	return it.Close()
}
