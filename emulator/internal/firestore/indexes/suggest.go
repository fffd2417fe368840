package indexes

import (
	"fmt"
	"slices"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// suggest returns a sentence that says what to add to the file so that it serves the need.
func (s *Set) suggest(n query.Need) string {
	fields := slices.Concat(n.Equal, n.Order)
	for _, p := range n.Aggregated {
		fields = append(fields, query.Component{Path: p})
	}
	scope := scopeCollection
	if n.CollectionGroup {
		scope = scopeGroup
	}
	if len(fields) == 1 && (len(n.Order) == 0 || n.Order[0].Desc == n.NameDesc) && !(fields[0].Elements && n.NameDesc) {
		return s.suggestOverride(n, fields[0], scope)
	}
	c := composite{CollectionGroup: n.Collection, QueryScope: scope}
	nameDesc := false
	for _, f := range fields {
		c.Fields = append(c.Fields, spec(f))
		nameDesc = f.Desc
	}
	if nameDesc != n.NameDesc && len(n.Aggregated) == 0 {
		c.Fields = append(c.Fields, spec(query.Component{Path: field.Path{field.DocumentID}, Desc: n.NameDesc}))
	}
	return fmt.Sprintf("Add this to \"indexes\" in firestore.indexes.json: %s", marshal(c))
}

// suggestOverride is suggest for an index of one field. An override replaces all automatic indexes of the field, so the
// suggestion contains what the file has already.
func (s *Set) suggestOverride(n query.Need, f query.Component, scope string) string {
	o := override{CollectionGroup: n.Collection, FieldPath: f.Path.String()}
	instead := ""
	if existing := s.override(n.Collection, f.Path); existing != nil && slices.Equal(existing.path, f.Path) {
		o.TTL, o.Indexes = existing.TTL, slices.Clone(existing.Indexes)
		instead = ", instead of the override of this field"
	}
	x := spec(query.Component{Path: f.Path, Desc: n.NameDesc, Elements: f.Elements})
	o.Indexes = append(o.Indexes, fieldIndex{Order: x.Order, ArrayConfig: x.ArrayConfig, QueryScope: scope})
	return fmt.Sprintf("Add this to \"fieldOverrides\" in firestore.indexes.json%s: %s", instead, marshal(o))
}

func spec(c query.Component) fieldSpec {
	f := fieldSpec{FieldPath: c.Path.String(), Order: ascending}
	switch {
	case c.Elements:
		f.Order, f.ArrayConfig = "", contains
	case c.Desc:
		f.Order = descending
	}
	return f
}
