package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// ErrForgotten says that a time lies further back than the history goes.
var ErrTooOld = errors.New("store: the history does not go back that far")

// ErrFuture says that a time has not come yet.
var ErrInFuture = errors.New("store: the time has not come yet")

// past is one step of history: what a document was before a commit.
type historyEntry struct {
	time document.Time
	path name.Path
	old  *document.Document
}

// history yields the steps after a time, oldest first.
func history(r pebble.Reader, db name.Database, after document.Time) iter.Seq2[historyEntry, error] {
	return func(yield func(historyEntry, error) bool) {
		low, high := historyKey(db, after+1), name.PrefixEnd(appendDatabase([]byte{historySpace}, db))
		it, err := r.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
		if err != nil {
			yield(historyEntry{}, fmt.Errorf("read history: %w", err))
			return
		}
		for it.First(); it.Valid(); it.Next() {
			step, err := parseHistory(len(low)-8, it.Key(), it.Value())
			if !yield(step, err) || err != nil {
				_ = it.Close() // only reports what the iteration already did
				return
			}
		}
		if err := it.Close(); err != nil {
			yield(historyEntry{}, fmt.Errorf("read history: %w", err))
		}
	}
}

func parseHistory(prefix int, key, value []byte) (historyEntry, error) {
	key = key[prefix:]
	if len(key) < 8 {
		return historyEntry{}, errMalformedKey
	}
	step := historyEntry{time: document.Time(binary.BigEndian.Uint64(key))}
	_, rest, err := name.ParseString(key[8:]) // the collection ID, which the path repeats
	if err != nil {
		return historyEntry{}, errMalformedKey
	}
	if step.path, err = name.ParseKey(rest); err != nil || !step.path.IsDocument() {
		return historyEntry{}, errMalformedKey
	}
	if len(value) > 0 {
		step.old, err = document.Decode(step.path, value)
	}
	return step, err
}

// ChangedSince calls f with every document changed after a time, with what it was then and what it is now.
// It stops when f returns false.
func (v *View) ForEachChangedSince(t document.Time, f func(Change) bool) error {
	seen := map[string]bool{}
	for step, err := range history(v.reader, v.db, t) {
		if err != nil {
			return err
		}
		key := step.path.String()
		if seen[key] {
			continue
		}
		seen[key] = true
		now, err := v.Get(step.path)
		if err != nil {
			return err
		}
		if !f(Change{Path: step.path, Old: step.old, New: now}) {
			return nil
		}
	}
	return nil
}

// Trim forgets the history up to a time.
func (s *Store) TrimHistory(upTo document.Time) error {
	databases, err := s.databasesIn(historySpace)
	if err != nil {
		return err
	}
	if int64(upTo) <= s.trimmedUpTo.Load() {
		return nil
	}
	// Said before it is done: nobody may take half of the history for all of it.
	s.trimmedUpTo.Store(int64(upTo))
	if err := s.db.Set(trimmedKey, binary.BigEndian.AppendUint64(nil, uint64(upTo)), pebble.NoSync); err != nil {
		return fmt.Errorf("trim history: %w", err)
	}
	for _, db := range databases {
		if err := s.db.DeleteRange(historyKey(db, 0), historyKey(db, upTo+1), pebble.NoSync); err != nil {
			return fmt.Errorf("trim history: %w", err)
		}
	}
	return nil
}
