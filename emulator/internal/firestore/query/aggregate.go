package query

import (
	"fmt"
	"math"
	"math/big"
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// maxAggregations is the documented number of aggregations in one query.
const maxAggregations = 5

// Aggregations accumulate the results of one aggregation query.
type Aggregations []*aggregation

type aggregation struct {
	alias   string
	path    field.Path // nil counts documents
	average bool
	upTo    int64 // maximum of a count; zero means no maximum
	n       int64
	total   total
}

// ParseAggregations checks the aggregations of a request.
func ParseAggregations(list []*pb.StructuredAggregationQuery_Aggregation) (Aggregations, error) {
	if len(list) == 0 || len(list) > maxAggregations {
		return nil, invalid("it needs 1 to %d aggregations", maxAggregations)
	}
	out := make(Aggregations, 0, len(list))
	names := map[string]bool{}
	for i, a := range list {
		parsed, err := parseAggregation(a)
		if err != nil {
			return nil, err
		}
		parsed.alias = a.GetAlias()
		if parsed.alias == "" {
			parsed.alias = fmt.Sprintf("field_%d", i+1)
		}
		if names[parsed.alias] {
			return nil, invalid("two aggregations are named %q", parsed.alias)
		}
		names[parsed.alias] = true
		out = append(out, parsed)
	}
	return out, nil
}

func parseAggregation(a *pb.StructuredAggregationQuery_Aggregation) (*aggregation, error) {
	var on *pb.StructuredQuery_FieldReference
	out := &aggregation{}
	switch t := a.GetOperator().(type) {
	case *pb.StructuredAggregationQuery_Aggregation_Count_:
		out.upTo = t.Count.GetUpTo().GetValue()
		if t.Count.GetUpTo() != nil && out.upTo <= 0 {
			return nil, invalid("up_to must be positive")
		}
		return out, nil
	case *pb.StructuredAggregationQuery_Aggregation_Sum_:
		on = t.Sum.GetField()
	case *pb.StructuredAggregationQuery_Aggregation_Avg_:
		on, out.average = t.Avg.GetField(), true
	default:
		return nil, invalid("an aggregation has no operator")
	}
	var err error
	out.path, err = field.Parse(on.GetFieldPath())
	return out, err
}

// LimitQuery returns a query that stops early if all aggregations are counts with a maximum.
func (as Aggregations) LimitQuery(q *Query) *Query {
	maxCount := 0
	for _, a := range as {
		if a.path != nil || a.upTo == 0 {
			return q
		}
		maxCount = max(maxCount, int(a.upTo))
	}
	out := *q
	if q.Limit == 0 || maxCount < q.Limit {
		out.Limit = maxCount
	}
	return &out
}

// OnlyCount reports whether all aggregations are counts, so that the documents need not be read.
func (as Aggregations) OnlyCount() bool {
	return !slices.ContainsFunc(as, func(a *aggregation) bool { return a.path != nil })
}

// AddCount adds n documents without their fields. OnlyCount must be true.
func (as Aggregations) AddCount(n int) {
	for _, a := range as {
		a.n += int64(n)
	}
}

// Add adds one document, if it has all fields that are aggregated. In the cloud, these are the fields of the index that
// the query reads.
func (as Aggregations) Add(d *document.Document) {
	for _, a := range as {
		if a.path != nil && field.Get(d.Fields, a.path) == nil {
			return
		}
	}
	for _, a := range as {
		if a.path == nil {
			a.n++
			continue
		}
		if v := field.Get(d.Fields, a.path); value.KindOf(v) == value.KindNumber {
			a.n++
			a.total.add(v)
		}
	}
}

// Result returns the results for all documents added so far.
func (as Aggregations) Result() *pb.AggregationResult {
	out := &pb.AggregationResult{AggregateFields: map[string]*pb.Value{}}
	for _, a := range as {
		out.AggregateFields[a.alias] = a.result()
	}
	return out
}

func (a *aggregation) result() *pb.Value {
	switch {
	case a.path == nil && a.upTo > 0:
		return value.Int(min(a.n, a.upTo))
	case a.path == nil:
		return value.Int(a.n)
	case !a.average:
		return a.total.value()
	case a.n == 0:
		return value.Null
	}
	return value.Double(a.total.float() / float64(a.n))
}

// total sums integers exactly, and doubles with Neumaier's compensation for rounding errors, so that the result does
// not depend on the order of the documents.
type total struct {
	intSum                 big.Int
	floatSum, compensation float64
	hasDouble              bool // at least one number was a double
}

func (t *total) add(v *pb.Value) {
	if n, ok := v.GetValueType().(*pb.Value_IntegerValue); ok {
		t.intSum.Add(&t.intSum, big.NewInt(n.IntegerValue))
		return
	}
	t.hasDouble = true
	f := v.GetDoubleValue()
	sum := t.floatSum + f
	switch {
	case math.IsInf(sum, 0) || math.IsNaN(sum):
		t.compensation = 0
	case math.Abs(t.floatSum) >= math.Abs(f):
		t.compensation += (t.floatSum - sum) + f
	default:
		t.compensation += (f - sum) + t.floatSum
	}
	t.floatSum = sum
}

func (t *total) float() float64 {
	f, _ := new(big.Float).SetInt(&t.intSum).Float64()
	return f + (t.floatSum + t.compensation)
}

// value returns an integer if all numbers are integers and the sum has at most 64 bits, else a double.
func (t *total) value() *pb.Value {
	if t.hasDouble || !t.intSum.IsInt64() {
		return value.Double(t.float())
	}
	return value.Int(t.intSum.Int64())
}
