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
)

// maxIndexes of one database, as in the cloud. Queries that would need another one scan.
const maxIndexes = 200

// index is an index that commits keep up to date.
type index struct {
	query.Index
	id     string
	number uint32
	// ready is when the index began to hold every document; zero while it is being built. Snapshots from before do
	// not see all of it. Guarded by indexes.mu.
	readyTime document.Time
}

// definition is an index on disk.
type definition struct {
	query.Index
	Ready bool
}

// indexes are those of all databases. They are added under Store.commitMu and mu.
type indexes struct {
	buildMu sync.Mutex // held by the one that builds; before Store.commitMu

	mu   sync.RWMutex
	all  map[name.Database][]*index
	next uint32
}

// put writes how a change moves a document in the indexes.
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

// find returns the index where it exists and was complete at a time.
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

// loadIndexes reads the definitions. An index whose building was cut short goes; a query will ask for it again.
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
		if err := errors.Join(s.db.DeleteRange(prefix, name.PrefixEnd(prefix), pebble.NoSync), s.db.Delete(it.Key(), pebble.NoSync)); err != nil {
			return fmt.Errorf("remove an unfinished index: %w", err)
		}
	}
	return nil
}
