package query

import (
	"slices"
	"strings"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
)

// Need is what an index must offer to serve one disjunct of a query in the cloud.
type Need struct {
	Collection      string // "" means collections with any ID, which no index serves
	CollectionGroup bool   // the scope of the index
	Equal           []Component
	Order           []Component // after the equalities, in this order and with these directions
	NameDesc        bool        // the direction of the document names, which end each key
	// Aggregated are the fields that are summed or averaged, and neither in Equal nor in Order. The index has them
	// behind Order, in any order.
	Aggregated []field.Path
}

// Needs returns the needs of a query, each once.
func (q *Query) Needs(aggregated []field.Path) []Need {
	disjuncts, _ := Disjuncts(q.Filter, maxDisjunctions) // parseFilter has checked the limit
	var out []Need
	seen := map[string]bool{}
	for _, d := range disjuncts {
		n := q.need(d, aggregated)
		if key := n.String(); !seen[key] {
			seen[key] = true
			out = append(out, n)
		}
	}
	return out
}

func (q *Query) need(conjuncts []FieldFilter, aggregated []field.Path) Need {
	n := Need{Collection: q.Collection, CollectionGroup: q.Descendants, NameDesc: q.nameDescending()}
	constant := map[string]bool{}
	for _, t := range equalities(conjuncts) {
		n.Equal = append(n.Equal, Component{Path: t.Path, Elements: t.Op == ArrayContains})
		if t.Op == Equal {
			constant[t.Path.String()] = true
		}
	}
	for _, o := range q.Order {
		if o.Path.IsDocumentID() {
			break // names are unique, so what comes behind them orders nothing
		}
		if !constant[o.Path.String()] {
			n.Order = append(n.Order, Component{Path: o.Path, Desc: o.Desc})
		}
	}
	for _, p := range aggregated {
		known := func(c Component) bool { return !c.Elements && slices.Equal(c.Path, p) }
		twice := slices.ContainsFunc(n.Aggregated, func(a field.Path) bool { return slices.Equal(a, p) })
		if !slices.ContainsFunc(n.Equal, known) && !slices.ContainsFunc(n.Order, known) && !twice {
			n.Aggregated = append(n.Aggregated, p)
		}
	}
	return n
}

// String describes the need: the form of a query without its values.
func (n Need) String() string {
	var b strings.Builder
	b.WriteString(n.Collection)
	if n.CollectionGroup {
		b.WriteString(" (collection group)")
	}
	for i, c := range n.Equal {
		b.WriteString([]string{" where ", " and "}[min(i, 1)] + c.Path.String())
		if c.Elements {
			b.WriteString(" array-contains")
		} else {
			b.WriteString(" ==")
		}
	}
	b.WriteString(" order by ")
	for _, c := range append(n.Order[:len(n.Order):len(n.Order)], Component{Path: field.Path{field.DocumentID}, Desc: n.NameDesc}) {
		b.WriteString(c.Path.String())
		if c.Desc {
			b.WriteString(" desc")
		}
		if !c.Path.IsDocumentID() {
			b.WriteString(", ")
		}
	}
	for _, p := range n.Aggregated {
		b.WriteString(", aggregate " + p.String())
	}
	return b.String()
}

// Fields returns the fields that are summed or averaged.
func (as Aggregations) Fields() []field.Path {
	var out []field.Path
	for _, a := range as {
		if a.path != nil {
			out = append(out, a.path)
		}
	}
	return out
}

// Capped returns the number of index entries that counting n of them reads.
func (as Aggregations) Capped(n int) int {
	limit := 0
	for _, a := range as {
		if a.upTo == 0 {
			return n
		}
		limit = max(limit, int(a.upTo))
	}
	return min(n, limit)
}
