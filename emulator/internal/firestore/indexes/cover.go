package indexes

import (
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// plan is how the cloud serves a need.
type plan struct {
	indexes []Index // merged; empty: the documents in the order of their names
	err     error   // the need has no index
	count   int64   // of queries
}

// Check returns a FAILED_PRECONDITION with the index to add if the cloud would refuse the query. aggregated are the
// fields that are summed or averaged. It records what the query uses.
func (s *Set) Check(q *query.Query, aggregated []field.Path) error {
	var failed error
	for _, n := range q.Needs(aggregated) {
		if err := s.check(n); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}

func (s *Set) check(n query.Need) error {
	key := n.String()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plans[key]
	if p == nil {
		p = s.plan(n)
		s.plans[key] = p
		for _, x := range p.indexes {
			s.used[x.id] = true
		}
	}
	p.count++
	return p.err
}

func (s *Set) plan(n query.Need) *plan {
	if len(n.Equal)+len(n.Order)+len(n.Aggregated) == 0 && !n.NameDesc {
		return &plan{}
	}
	if n.Collection == "" {
		return &plan{err: status.Error(codes.FailedPrecondition, "A query over all collections can only filter and order by ascending __name__.")}
	}
	if found, ok := cover(n, s.candidates(n)); ok {
		return &plan{indexes: found}
	}
	return &plan{err: status.Errorf(codes.FailedPrecondition, "The query requires an index: %s. %s", n, s.suggest(n))}
}

// candidates returns the indexes that may serve a need, the composite ones first.
func (s *Set) candidates(n query.Need) []Index {
	out := slices.Clone(s.byGroup[n.Collection])
	for _, c := range slices.Concat(n.Equal, n.Order) {
		out = append(out, s.SingleField(n.Collection, c.Path)...)
	}
	for _, p := range n.Aggregated {
		out = append(out, s.SingleField(n.Collection, p)...)
	}
	return slices.DeleteFunc(out, func(x Index) bool { return x.CollectionGroup != n.CollectionGroup })
}

// cover returns the index that serves a need alone, or else indexes that serve it merged: together they begin with all
// equalities of the need, and each ends with its order.
func cover(n query.Need, candidates []Index) (found []Index, ok bool) {
	type part struct {
		index Index
		equal []int // positions in n.Equal
	}
	var parts []part
	for _, x := range candidates {
		equal, fits := fit(n, x)
		switch {
		case !fits:
		case len(equal) == len(n.Equal):
			return []Index{x}, true
		default:
			parts = append(parts, part{x, equal})
		}
	}
	slices.SortStableFunc(parts, func(a, b part) int { return len(b.equal) - len(a.equal) })
	covered := map[int]bool{}
	for _, p := range parts {
		before := len(covered)
		for _, i := range p.equal {
			covered[i] = true
		}
		if len(covered) > before {
			found = append(found, p.index)
		}
	}
	return found, len(n.Equal) > 0 && len(covered) == len(n.Equal)
}

// fit reports whether an index can be a part of the plan for a need, and which of the equalities it begins with.
func fit(n query.Need, x Index) (equal []int, ok bool) {
	prefix := len(x.Fields) - len(n.Order) - len(n.Aggregated)
	if prefix < 0 || prefix == 0 && len(n.Equal) > 0 || x.NameDesc != n.NameDesc && len(n.Aggregated) == 0 {
		return nil, false
	}
	for _, c := range x.Fields[:prefix] {
		i := slices.IndexFunc(n.Equal, func(e query.Component) bool {
			return e.Elements == c.Elements && slices.Equal(e.Path, c.Path) // the direction does not matter
		})
		if i < 0 || slices.Contains(equal, i) {
			return nil, false
		}
		equal = append(equal, i)
	}
	for i, o := range n.Order {
		if c := x.Fields[prefix+i]; c.Elements || c.Desc != o.Desc || !slices.Equal(c.Path, o.Path) {
			return nil, false
		}
	}
	last := x.Fields[prefix+len(n.Order):]
	for _, p := range n.Aggregated {
		if !slices.ContainsFunc(last, func(c query.Component) bool { return !c.Elements && slices.Equal(c.Path, p) }) {
			return nil, false
		}
	}
	return equal, true
}
