package indexes

import (
	"cmp"
	"maps"
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
)

// Query is one form of query, and how it is served.
type Query struct {
	Query   string   // without its values
	Indexes []string // of the file, in its form, merged; automatic indexes are left out
	Missing string   // why the query is refused; empty: it has its index
	Count   int64
}

// Queries returns the forms of all queries so far, sorted.
func (s *Set) Queries() []Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Query, 0, len(s.plans))
	for _, key := range slices.Sorted(maps.Keys(s.plans)) {
		p := s.plans[key]
		q := Query{Query: key, Count: p.count}
		if p.err != nil {
			q.Missing = p.err.Error()
		}
		for _, x := range p.indexes {
			if x.id != "" {
				q.Indexes = append(q.Indexes, x.id)
			}
		}
		out = append(out, q)
	}
	return out
}

// RecordDocument records which fields that the file overrides a document has.
func (s *Set) RecordDocument(collection string, fields map[string]*pb.Value) {
	list := s.overrides[collection]
	if len(list) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range list {
		if !s.seen[o.position] && (o.path == nil || field.Get(fields, o.path) != nil) {
			s.seen[o.position] = true
		}
	}
}

// Unused returns what the file has without need, in its form: indexes that served no query so far, and overrides of
// fields that no document had.
func (s *Set) Unused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, c := range s.file.Indexes {
		if id := marshal(c); !s.used[id] {
			out = append(out, id)
		}
	}
	for i, o := range s.file.FieldOverrides {
		if !s.seen[i] {
			out = append(out, marshal(o))
			continue
		}
		for _, x := range o.Indexes {
			if id := o.indexID(x); !s.used[id] {
				out = append(out, id)
			}
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}
