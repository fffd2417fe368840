package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// View reads the current documents of one database during a commit.
type View struct {
	reader pebble.Reader
	db     name.Database
}

// Get returns a document; nil if it is missing.
func (v *View) Get(p name.Path) (*document.Document, error) {
	return get(v.reader, v.db, p)
}

func get(r pebble.Reader, db name.Database, p name.Path) (*document.Document, error) {
	raw, closer, err := r.Get(documentKey(db, p))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p, err)
	}
	d, err := document.Decode(p, raw)
	return d, errors.Join(err, closer.Close())
}
