package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// The first byte of a key says what the record is. Zero belongs to package disk.
const (
	documentSpace   = 0x01 // database, collection ID, path -> document
	indexSpace      = 0x02 // number, scope, values, path -> offset of the path in the key
	definitionSpace = 0x03 // number -> definition of an index
	historySpace    = 0x04 // database, time, path -> the document before that time
	clockSpace      = 0x05 // -> times
)

var (
	clockKey   = []byte{clockSpace, 0x01} // the latest commit
	trimmedKey = []byte{clockSpace, 0x02} // time up to which the history was deleted
)

// errMalformedKey reports a stored key that cannot be decoded.
var errMalformedKey = errors.New("store: malformed key")

func appendDatabase(b []byte, db name.Database) []byte {
	return name.AppendString(name.AppendString(b, db.Project), db.ID)
}

// documentsPrefix returns the prefix of all documents of a database or, with a collection ID, of all collections with
// that ID. Keys begin with the collection ID, so that a collection group is one range in the order of names.
func documentsPrefix(db name.Database, collection string) []byte {
	b := appendDatabase(append(make([]byte, 0, 160), documentSpace), db)
	if collection != "" {
		b = name.AppendString(b, collection)
	}
	return b
}

func documentKey(db name.Database, p name.Path) []byte {
	return name.AppendKey(documentsPrefix(db, p.Collection()), p)
}

// pathOf decodes the path after a prefix that documentsPrefix has returned for a collection ID.
func pathOf(prefix, key []byte) (name.Path, error) {
	p, err := name.ParseKey(key[len(prefix):])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformedKey, err)
	}
	if !p.IsDocument() {
		return nil, errMalformedKey
	}
	return p, nil
}

func indexPrefix(number uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{indexSpace}, number)
}

func definitionKey(number uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{definitionSpace}, number)
}

// indexEntryKey appends the path of a document to its key in an index. offset is the record: where the path begins.
func indexEntryKey(key []byte, p name.Path) (entry, offset []byte) {
	return name.AppendKey(slices.Clip(key), p), binary.AppendUvarint(nil, uint64(len(key)))
}

func indexedPath(entry, offset []byte) (name.Path, error) {
	n, size := binary.Uvarint(offset)
	if size <= 0 || n > uint64(len(entry)) {
		return nil, errMalformedKey
	}
	p, err := name.ParseKey(entry[n:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformedKey, err)
	}
	if !p.IsDocument() {
		return nil, errMalformedKey
	}
	return p, nil
}

func historyKey(db name.Database, t document.Time) []byte {
	b := appendDatabase(append(make([]byte, 0, 160), historySpace), db)
	return binary.BigEndian.AppendUint64(b, uint64(t))
}
