package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// Databases returns the databases that contain documents.
func (s *Store) Databases() ([]name.Database, error) { return s.databasesIn(documentSpace) }

func (s *Store) databasesIn(space byte) (dbs []name.Database, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{space}, UpperBound: []byte{space + 1}})
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		project, rest, err := name.ParseString(it.Key()[1:])
		if err != nil {
			return nil, errMalformedKey
		}
		id, _, err := name.ParseString(rest)
		if err != nil {
			return nil, errMalformedKey
		}
		db := name.Database{Project: project, ID: id}
		dbs = append(dbs, db)
		ok = it.SeekGE(keyrange.PrefixEnd(appendDatabase([]byte{space}, db)))
	}
	return dbs, nil
}
