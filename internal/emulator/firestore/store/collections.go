package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/internal/emulator/firestore/name"
)

// collectionIDs lists the collection IDs in use anywhere in a database, jumping from one to the next.
func (sn *Snapshot) collectionIDs(db name.Database) (ids []string, err error) {
	prefix := documentsKey(db, "")
	it, err := sn.reader.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: end(prefix)})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		id, _, err := name.ParseString(it.Key()[len(prefix):])
		if err != nil {
			return nil, errKey
		}
		ids = append(ids, id)
		ok = it.SeekGE(end(documentsKey(db, id)))
	}
	return ids, nil
}
