package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/keyrange"
)

// Children returns the IDs directly below a path, sorted: the collections of a document or of the root, or the
// documents of a collection, including missing documents that have documents below them.
func (sn *Snapshot) Children(db name.Database, under name.Path) ([]string, error) {
	ids := map[string]bool{}
	var err error
	if sn.historical {
		err = sn.pastChildren(db, under, ids)
	} else {
		err = sn.currentChildren(db, under, ids)
	}
	return slices.SortedFunc(maps.Keys(ids), name.CompareID), err
}

// currentChildren skips from each child to the next, for each collection ID of the database.
func (sn *Snapshot) currentChildren(db name.Database, under name.Path, ids map[string]bool) error {
	collections, err := sn.collectionIDs(db)
	if err != nil {
		return err
	}
	for _, c := range collections {
		prefix := documentsPrefix(db, c)
		err := sn.skipScan(name.AppendKey(slices.Clone(prefix), under), func(key []byte) ([]byte, error) {
			p, err := pathOf(prefix, key)
			if err != nil {
				return nil, err
			}
			if len(p) == len(under) { // the document itself; those below it follow
				return append(slices.Clone(key), 0), nil
			}
			child := p[:len(under)+1]
			ids[child.ID()] = true
			return keyrange.PrefixEnd(name.AppendKey(slices.Clone(prefix), child)), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (sn *Snapshot) pastChildren(db name.Database, under name.Path, ids map[string]bool) error {
	all := &query.Query{Database: db, Parent: under[:len(under)-len(under)%2], Descendants: true}
	for d, err := range sn.scanAll(all) {
		if err != nil {
			return err
		}
		if d.Path.HasPrefix(under) {
			ids[d.Path[len(under)]] = true
		}
	}
	return nil
}

// collectionIDs returns all collection IDs of a database, at any depth.
func (sn *Snapshot) collectionIDs(db name.Database) (ids []string, err error) {
	prefix := documentsPrefix(db, "")
	err = sn.skipScan(prefix, func(key []byte) ([]byte, error) {
		id, _, err := name.ParseString(key[len(prefix):])
		if err != nil {
			return nil, errMalformedKey
		}
		ids = append(ids, id)
		return keyrange.PrefixEnd(documentsPrefix(db, id)), nil
	})
	return ids, err
}

// skipScan visits keys with a prefix. visit returns the key to continue at.
func (sn *Snapshot) skipScan(prefix []byte, visit func(key []byte) (next []byte, err error)) (err error) {
	it, err := sn.reader.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: keyrange.PrefixEnd(prefix)})
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; {
		next, err := visit(it.Key())
		if err != nil {
			return err
		}
		ok = it.SeekGE(next)
	}
	return nil
}
