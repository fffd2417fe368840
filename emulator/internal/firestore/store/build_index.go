package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

const (
	// buildStep is how many documents are indexed while commits wait: about a millisecond.
	buildBatchSize = 64
	// freeScan keeps small collections free of indexes: reading them whole takes about a millisecond.
	defaultScanLimit = 200
)

// Prepare builds the indexes a query needs, where they are worth it. A snapshot taken afterwards can use them.
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

// exceeds says whether the collections of a query hold more than n documents.
func (s *Store) hasMoreThan(q *query.Query, n int) (large bool, err error) {
	low, high := scanBounds(q)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return false, fmt.Errorf("scan: %w", err)
	}
	for it.First(); it.Valid() && n >= 0; it.Next() {
		n--
	}
	return n < 0, it.Close()
}

// build makes an index while commits go on: they keep it up to date from the start, and between them its documents
// are added step by step.
func (s *Store) buildIndex(want *query.Index) error {
	s.indexes.buildMu.Lock()
	defer s.indexes.buildMu.Unlock()
	i, ready := s.indexes.find(want, document.Time(1<<62))
	if ready || s.indexes.count(want.Database) >= maxIndexes {
		return nil
	}
	if i == nil { // else an earlier attempt failed half-way
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
	s.latestTime++ // no snapshot taken so far has this time
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

// buildFrom adds the next few documents and returns where to go on, nil at the end.
func (s *Store) buildIndexStep(i *index, prefix, from []byte) (next []byte, err error) {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: name.PrefixEnd(prefix)})
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
