package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// Count returns the number of results of RunQuery. It reads only keys; ok is false if that is not enough.
func (sn *Snapshot) Count(q *query.Query) (n int, ok bool, err error) {
	if sn.historical || q.Collection == "" || q.Start != nil || q.End != nil {
		return 0, false, nil
	}
	plan := q.Plan()
	seen := map[string]bool{} // a document may match several disjuncts
	for _, r := range plan {
		keys, found := sn.exactKeys(q, r)
		if !found {
			return 0, false, nil
		}
		readPath := indexedPath
		if r.Index == nil {
			prefix := documentsPrefix(q.Database, q.Collection)
			readPath = func(key, _ []byte) (name.Path, error) { return pathOf(prefix, key) }
		}
		err := sn.scanPaths(keys, readPath, func(p name.Path) {
			if !q.InScope(p) {
				return
			}
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

func (sn *Snapshot) exactKeys(q *query.Query, r query.Range) (keyrange.Range, bool) {
	if !r.Exact {
		return keyrange.Range{}, false
	}
	if r.Index == nil {
		return scopeKeys(q), true
	}
	return sn.indexKeys(q, r)
}

// scanPaths calls f with the path of every key.
func (sn *Snapshot) scanPaths(keys keyrange.Range, readPath func(key, value []byte) (name.Path, error), f func(name.Path)) error {
	it, err := sn.reader.NewIter(&pebble.IterOptions{LowerBound: keys.Lower, UpperBound: keys.Upper})
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	for it.First(); it.Valid(); it.Next() {
		p, err := readPath(it.Key(), it.Value())
		if err != nil {
			_ = it.Close() // the first error matters
			return err
		}
		f(p)
	}
	return it.Close()
}
