package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// maxIndexes is the limit for one database, as in the cloud. A query that needs another index scans instead.
const maxIndexes = 200

// index is one index. Every commit updates it.
type index struct {
	query.Index
	id     string
	number uint32
	// readyTime is the time from which on the index contains every document; zero while it is being built. Earlier
	// snapshots do not see all of it. Guarded by indexes.mu.
	readyTime document.Time
}

// definition is the record of an index on disk, as JSON. The names of its fields must not change.
type definition struct {
	query.Index
	Ready bool
}

// indexes contains the indexes of all databases. Adding one needs Store.commitMu and mu.
type indexes struct {
	buildMu sync.Mutex // held while an index is built; locked before Store.commitMu

	mu   sync.RWMutex
	all  map[name.Database][]*index
	next uint32
}

// put writes the changed index entries of a document to the batch.
func (x *indexes) put(batch *pebble.Batch, db name.Database, d *Change) error {
	x.mu.RLock()
	list := x.all[db]
	x.mu.RUnlock()
	for _, i := range list {
		if i.Collection != d.Path.Collection() {
			continue
		}
		prefix := indexPrefix(i.number)
		before, after := i.Keys(prefix, d.Old), i.Keys(prefix, d.New)
		for _, key := range before {
			if !containsKey(after, key) {
				entry, _ := indexEntryKey(key, d.Path)
				if err := batch.Delete(entry, nil); err != nil {
					return err
				}
			}
		}
		for _, key := range after {
			if !containsKey(before, key) {
				entry, offset := indexEntryKey(key, d.Path)
				if err := batch.Set(entry, offset, nil); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func containsKey(keys [][]byte, key []byte) bool {
	return slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
}

// find returns the index, nil if it does not exist, and whether it was complete at a time.
func (x *indexes) find(want *query.Index, at document.Time) (*index, bool) {
	id := want.ID()
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, i := range x.all[want.Database] {
		if i.id == id {
			return i, i.readyTime != 0 && i.readyTime <= at
		}
	}
	return nil, false
}

func (x *indexes) count(db name.Database) int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.all[db])
}

func (x *indexes) add(i *index) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.next = max(x.next, i.number+1)
	x.all[i.Database] = append(slices.Clip(x.all[i.Database]), i)
}

func (i *index) writeDefinition(w pebble.Writer, ready bool) error {
	raw, err := json.Marshal(definition{Index: i.Index, Ready: ready})
	if err != nil {
		return err
	}
	return w.Set(definitionKey(i.number), raw, pebble.NoSync)
}

// loadIndexes reads the definitions. It deletes an unfinished index; a query that needs the index builds it again.
func (s *Store) loadIndexes() (err error) {
	s.indexes.all = map[name.Database][]*index{}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{definitionSpace}, UpperBound: []byte{definitionSpace + 1}})
	if err != nil {
		return fmt.Errorf("read indexes: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		var d definition
		if len(it.Key()) != 5 {
			return errMalformedKey
		}
		if err := json.Unmarshal(it.Value(), &d); err != nil {
			return fmt.Errorf("%w: definition of an index: %w", errMalformedKey, err)
		}
		i := &index{Index: d.Index, id: d.ID(), number: binary.BigEndian.Uint32(it.Key()[1:]), readyTime: 1}
		if d.Ready {
			s.indexes.add(i)
			continue
		}
		prefix := indexPrefix(i.number)
		if err := errors.Join(s.db.DeleteRange(prefix, keyrange.PrefixEnd(prefix), pebble.NoSync), s.db.Delete(it.Key(), pebble.NoSync)); err != nil {
			return fmt.Errorf("remove an unfinished index: %w", err)
		}
	}
	return nil
}
