package query

import (
	"encoding/json"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// Index describes the keys for one form of query: scope, values with an equality, values in order, document name. It
// contains only documents that have all its fields. The store writes Index and Component to disk as JSON, so the names
// of their fields, and of name.Database, must not change.
type Index struct {
	Database    name.Database
	Collection  string
	Descendants bool // one key range for all collections with this ID
	Equal       []Component
	Order       []Component
}

// Component is one field of an index.
type Component struct {
	Path     field.Path
	Desc     bool `json:",omitempty"`
	Elements bool `json:",omitempty"` // one key for each element of the array
}

// ID identifies the index: two equal indexes have the same ID.
func (x *Index) ID() string {
	b, err := json.Marshal(x)
	if err != nil {
		panic(err) // strings and booleans only
	}
	return string(b)
}

// AppendScope appends the part of the keys that separates collections. parent is the document above the collection.
func (x *Index) AppendScope(b []byte, parent name.Path) []byte {
	if x.Descendants {
		return b
	}
	return append(name.AppendKey(b, parent), 0)
}

// Keys returns the keys of a document, with the prefix and without the document name; none if a field is missing.
func (x *Index) Keys(prefix []byte, d *document.Document) [][]byte {
	if d == nil || d.Path.Collection() != x.Collection {
		return nil
	}
	keys := [][]byte{x.AppendScope(prefix[:len(prefix):len(prefix)], d.Path[:len(d.Path)-2])}
	for _, c := range append(x.Equal[:len(x.Equal):len(x.Equal)], x.Order...) {
		v := field.Get(d.Fields, c.Path)
		if v == nil {
			return nil
		}
		values := []*pb.Value{v}
		if c.Elements {
			values = distinct(v.GetArrayValue().GetValues())
		}
		keys = appendValues(keys, c, values)
	}
	return keys
}

func appendValues(keys [][]byte, c Component, values []*pb.Value) [][]byte {
	out := make([][]byte, 0, len(keys)*len(values))
	for _, k := range keys {
		for _, v := range values {
			k := k[:len(k):len(k)]
			if c.Desc {
				out = append(out, value.AppendKeyDesc(k, v))
			} else {
				out = append(out, value.AppendKey(k, v))
			}
		}
	}
	return out
}

func distinct(vs []*pb.Value) []*pb.Value {
	seen := map[string]bool{}
	var out []*pb.Value
	for _, v := range vs {
		if k := string(value.AppendKey(nil, v)); !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	return out
}
