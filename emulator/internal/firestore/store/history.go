package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// ErrTooOld reports a time before the beginning of the history.
var ErrTooOld = errors.New("store: the history does not go back that far")

// ErrInFuture reports a time in the future.
var ErrInFuture = errors.New("store: the time is in the future")

// historyEntry is the version of a document before a commit; old is nil if the commit created it.
type historyEntry struct {
	time document.Time
	path name.Path
	old  *document.Document
}

// history yields the entries of all commits after a time, oldest first.
func history(r pebble.Reader, db name.Database, after document.Time) iter.Seq2[historyEntry, error] {
	return func(yield func(historyEntry, error) bool) {
		low, high := historyKey(db, after+1), keyrange.PrefixEnd(appendDatabase([]byte{historySpace}, db))
		it, err := r.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
		if err != nil {
			yield(historyEntry{}, fmt.Errorf("read history: %w", err))
			return
		}
		for it.First(); it.Valid(); it.Next() {
			step, err := parseHistory(len(low)-8, it.Key(), it.Value())
			if !yield(step, err) || err != nil {
				_ = it.Close() // its error is err, if there is one
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
	_, rest, err := name.ParseString(key[8:]) // the collection ID, which the path contains as well
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

// ForEachChangedSince calls f for every document that was changed after a time, with its version at that time and its
// current version. It stops when f returns false.
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

// TrimHistory deletes the history up to a time.
func (s *Store) TrimHistory(upTo document.Time) error {
	databases, err := s.databasesIn(historySpace)
	if err != nil {
		return err
	}
	if int64(upTo) <= s.trimmedUpTo.Load() {
		return nil
	}
	// Set the limit before the deletion, so that no reader takes a part of the history for the whole.
	s.trimmedUpTo.Store(int64(upTo))
	return s.db.Write(func() error { return s.deleteHistory(databases, upTo) })
}

func (s *Store) deleteHistory(databases []name.Database, upTo document.Time) error {
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
