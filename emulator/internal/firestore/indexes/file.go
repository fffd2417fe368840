// Package indexes says which queries Google's Firestore serves with the indexes of a firestore.indexes.json.
//
// It receives the content of the file and the needs of queries. It returns an error for a query without its index, with
// the index to add in the form of the file, and what of the file no query has used. It reads no documents.
//
// The rules are those of Google's documentation: every field has single-field indexes for the scope of a collection
// unless the file overrides them; indexes that end with the same order are merged for several equalities; everything
// else needs a composite index; a collection group needs an index with its scope.
package indexes

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// The values of the file.
const (
	scopeCollection = "COLLECTION"
	scopeGroup      = "COLLECTION_GROUP"
	ascending       = "ASCENDING"
	descending      = "DESCENDING"
	contains        = "CONTAINS"
)

// file is the content of a firestore.indexes.json.
type file struct {
	Indexes        []composite `json:"indexes"`
	FieldOverrides []override  `json:"fieldOverrides"`
}

type composite struct {
	CollectionGroup string      `json:"collectionGroup"`
	QueryScope      string      `json:"queryScope"`
	Fields          []fieldSpec `json:"fields"`
}

type fieldSpec struct {
	FieldPath   string `json:"fieldPath"`
	Order       string `json:"order,omitempty"`
	ArrayConfig string `json:"arrayConfig,omitempty"`
}

type override struct {
	CollectionGroup string       `json:"collectionGroup"`
	FieldPath       string       `json:"fieldPath"`
	TTL             bool         `json:"ttl,omitempty"`
	Indexes         []fieldIndex `json:"indexes"`
}

type fieldIndex struct {
	Order       string `json:"order,omitempty"`
	ArrayConfig string `json:"arrayConfig,omitempty"`
	QueryScope  string `json:"queryScope"`
}

// automatic are the single-field indexes of a field that the file does not override.
var automatic = []fieldIndex{
	{Order: ascending, QueryScope: scopeCollection},
	{Order: descending, QueryScope: scopeCollection},
	{ArrayConfig: contains, QueryScope: scopeCollection},
}

// Set is the content of one file, and what queries have used of it. It is safe for concurrent use, also by several
// servers.
type Set struct {
	file      file
	byGroup   map[string][]Index            // the composite indexes, by collection ID
	overrides map[string][]overriddenFields // by collection ID

	mu    sync.Mutex
	plans map[string]*plan // by the need
	used  map[string]bool  // by the ID of an index of the file
	seen  []bool           // by the position of the override: a document has the field
}

// overriddenFields is an override with its parsed path.
type overriddenFields struct {
	override

	position int
	path     field.Path // nil: all fields of the collection group
}

// Index is one index of the cloud: of the file, or automatic.
type Index struct {
	CollectionGroup bool // one range of keys for all collections with this ID
	Fields          []query.Component
	// NameDesc is the direction of the document names behind the fields.
	NameDesc bool

	id string // the index in the form of the file; "" if it is automatic
}

// Parse reads the content of a firestore.indexes.json.
func Parse(content []byte) (*Set, error) {
	s := &Set{byGroup: map[string][]Index{}, overrides: map[string][]overriddenFields{}, plans: map[string]*plan{}, used: map[string]bool{}}
	if err := json.Unmarshal(content, &s.file); err != nil {
		return nil, fmt.Errorf("firestore indexes: %w", err)
	}
	for _, c := range s.file.Indexes {
		x, err := c.parse()
		if err != nil {
			return nil, fmt.Errorf("firestore indexes: %s: %w", marshal(c), err)
		}
		s.byGroup[c.CollectionGroup] = append(s.byGroup[c.CollectionGroup], x)
	}
	s.seen = make([]bool, len(s.file.FieldOverrides))
	for i, o := range s.file.FieldOverrides {
		parsed := overriddenFields{override: o, position: i}
		var err error
		if o.FieldPath != "*" {
			if parsed.path, err = field.Parse(o.FieldPath); err != nil {
				return nil, fmt.Errorf("firestore indexes: %s: %w", marshal(o), err)
			}
		}
		for _, x := range o.Indexes {
			if _, err := x.index(parsed.path, ""); err != nil {
				return nil, fmt.Errorf("firestore indexes: %s: %w", marshal(o), err)
			}
		}
		s.overrides[o.CollectionGroup] = append(s.overrides[o.CollectionGroup], parsed)
	}
	return s, nil
}

func (c composite) parse() (x Index, err error) {
	x.id = marshal(c)
	if x.CollectionGroup, err = parseScope(c.QueryScope); err != nil {
		return x, err
	}
	if c.CollectionGroup == "" || len(c.Fields) == 0 {
		return x, fmt.Errorf("an index needs a collectionGroup and fields")
	}
	for i, f := range c.Fields {
		p, err := field.Parse(f.FieldPath)
		if err != nil {
			return x, err
		}
		component, err := parseComponent(p, f.Order, f.ArrayConfig)
		if err != nil {
			return x, err
		}
		x.NameDesc = component.Desc
		if p.IsDocumentID() {
			if i < len(c.Fields)-1 {
				return x, fmt.Errorf("__name__ must be the last field")
			}
			break
		}
		x.Fields = append(x.Fields, component)
	}
	return x, nil
}

func parseScope(scope string) (group bool, err error) {
	switch scope {
	case scopeCollection, scopeGroup:
		return scope == scopeGroup, nil
	}
	return false, fmt.Errorf("queryScope must be %s or %s, not %q", scopeCollection, scopeGroup, scope)
}

func parseComponent(p field.Path, order, array string) (query.Component, error) {
	switch {
	case array == contains && order == "":
		return query.Component{Path: p, Elements: true}, nil
	case array == "" && (order == ascending || order == descending):
		return query.Component{Path: p, Desc: order == descending}, nil
	}
	return query.Component{}, fmt.Errorf("%s needs an order (%s, %s) or an arrayConfig (%s)", p, ascending, descending, contains)
}

// index returns the single-field index of a field.
func (x fieldIndex) index(p field.Path, id string) (Index, error) {
	group, err := parseScope(x.QueryScope)
	if err != nil {
		return Index{}, err
	}
	c, err := parseComponent(p, x.Order, x.ArrayConfig)
	return Index{CollectionGroup: group, Fields: []query.Component{c}, NameDesc: c.Desc, id: id}, err
}

// override returns the override for a field: its own, or else that of the nearest map around it, or else that of all
// fields; nil if there is none.
func (s *Set) override(collection string, p field.Path) *overriddenFields {
	var best *overriddenFields
	for i := range s.overrides[collection] {
		o := &s.overrides[collection][i]
		if len(o.path) <= len(p) && slices.Equal(o.path, p[:len(o.path)]) && (best == nil || len(o.path) > len(best.path)) {
			best = o
		}
	}
	return best
}

// SingleField returns the single-field indexes of a field of a collection group.
func (s *Set) SingleField(collection string, p field.Path) []Index {
	list, o := automatic, s.override(collection, p)
	if o != nil {
		list = o.Indexes
	}
	out := make([]Index, 0, len(list))
	for _, f := range list {
		id := ""
		if o != nil {
			id = o.indexID(f)
		}
		x, _ := f.index(p, id) // Parse has checked it
		out = append(out, x)
	}
	return out
}

// Composite returns the composite indexes of a collection group.
func (s *Set) Composite(collection string) []Index { return s.byGroup[collection] }

// indexID describes one index of an override in the form of the file.
func (o override) indexID(x fieldIndex) string {
	o.Indexes, o.TTL = []fieldIndex{x}, false
	return marshal(o)
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and booleans only
	}
	return string(b)
}
