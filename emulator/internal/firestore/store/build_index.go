package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

const (
	// buildBatchSize is the number of documents to index while commits wait: about a millisecond.
	buildBatchSize = 64
	// defaultScanLimit is the size up to which a collection needs no index: a scan takes about a millisecond.
	defaultScanLimit = 200
)

// EnsureIndexes builds the indexes of a query, unless its collection is small. Later snapshots can use them.
func (s *Store) EnsureIndexes(q *query.Query) error {
	for _, r := range q.Plan() {
		if r.Index == nil {
			continue
		}
		if _, ready := s.indexes.find(r.Index, document.Time(1<<62)); ready {
			continue
		}
		tooMany, err := s.hasMoreThan(q, s.scanLimit)
		if err != nil || !tooMany {
			return err
		}
		err = s.buildIndex(r.Index)
		if _, full := errors.AsType[*disk.FullError](err); full {
			return nil // without the index, the query scans
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hasMoreThan reports whether there are more than n documents in the scope of a query.
func (s *Store) hasMoreThan(q *query.Query, n int) (large bool, err error) {
	keys := scopeKeys(q)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: keys.Lower, UpperBound: keys.Upper})
	if err != nil {
		return false, fmt.Errorf("scan: %w", err)
	}
	for it.First(); it.Valid() && n >= 0; it.Next() {
		n--
	}
	return n < 0, it.Close()
}

// buildIndex builds an index while commits continue. Commits update the index from the start; between them, the
// existing documents are added in batches.
func (s *Store) buildIndex(want *query.Index) error {
	s.indexes.buildMu.Lock()
	defer s.indexes.buildMu.Unlock()
	i, ready := s.indexes.find(want, document.Time(1<<62))
	if ready || s.indexes.count(want.Database) >= maxIndexes {
		return nil
	}
	if i == nil { // not nil: an earlier attempt failed
		if err := s.db.Write(func() error { return s.addIndex(want) }); err != nil {
			return fmt.Errorf("build index: %w", err)
		}
		i, _ = s.indexes.find(want, document.Time(1<<62))
	}
	prefix := documentsPrefix(want.Database, want.Collection)
	next := make(chan []byte, 1) // a channel, because a step may go on after Write has returned
	for from := prefix; from != nil; from = <-next {
		err := s.db.Write(func() error {
			n, err := s.buildIndexStep(i, prefix, from)
			next <- n
			return err
		})
		if err != nil {
			return fmt.Errorf("build index: %w", err)
		}
	}
	return s.db.Write(func() error { return s.finishIndex(i) })
}

func (s *Store) finishIndex(i *index) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if err := i.writeDefinition(s.db, true); err != nil {
		return fmt.Errorf("build index: %w", err)
	}
	s.clock.lock()
	defer s.clock.unlock()
	s.indexes.mu.Lock()
	defer s.indexes.mu.Unlock()
	s.latestTime++ // no existing snapshot has this time
	i.readyTime = s.latestTime
	return nil
}

func (s *Store) addIndex(want *query.Index) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if i, _ := s.indexes.find(want, document.Time(1<<62)); i != nil {
		return nil // an attempt that waited for space has added it in the meantime
	}
	i := &index{Index: *want, id: want.ID(), number: s.indexes.next}
	if err := i.writeDefinition(s.db, false); err != nil {
		return err
	}
	s.indexes.add(i)
	return nil
}

// buildIndexStep adds the next batch of documents. It returns the key to continue at; nil at the end.
func (s *Store) buildIndexStep(i *index, prefix, from []byte) (next []byte, err error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: keyrange.PrefixEnd(prefix)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	batch := s.db.NewBatch()
	defer batch.Close()
	n := 0
	for it.First(); it.Valid() && n < buildBatchSize; it.Next() {
		n++
		p, err := pathOf(prefix, it.Key())
		if err != nil {
			return nil, err
		}
		d, err := document.Decode(p, it.Value())
		if err != nil {
			return nil, err
		}
		for _, key := range i.Keys(indexPrefix(i.number), d) {
			entry, offset := indexEntryKey(key, p)
			if err := batch.Set(entry, offset, nil); err != nil {
				return nil, err
			}
		}
	}
	if it.Valid() {
		next = slices.Clone(it.Key())
	}
	return next, batch.Commit(pebble.NoSync)
}
