package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

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
		if err := s.buildIndex(r.Index); err != nil {
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
		var err error
		if i, err = s.addIndex(want); err != nil {
			return err
		}
	}
	prefix := documentsPrefix(want.Database, want.Collection)
	for from := prefix; from != nil; {
		var err error
		if from, err = s.buildIndexStep(i, prefix, from); err != nil {
			return fmt.Errorf("build index: %w", err)
		}
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if err := i.writeDefinition(s.db, true); err != nil {
		return fmt.Errorf("build index: %w", err)
	}
	s.clockMu.Lock()
	defer s.clockMu.Unlock()
	s.indexes.mu.Lock()
	defer s.indexes.mu.Unlock()
	s.latestTime++ // no existing snapshot has this time
	i.readyTime = s.latestTime
	return nil
}

func (s *Store) addIndex(want *query.Index) (*index, error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	i := &index{Index: *want, id: want.ID(), number: s.indexes.next}
	if err := i.writeDefinition(s.db, false); err != nil {
		return nil, fmt.Errorf("build index: %w", err)
	}
	s.indexes.add(i)
	return i, nil
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
