package value

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// Compare orders two values as Firestore does. Integers and doubles compare by their exact numeric values. NaN is less
// than all other numbers and equal to itself. Zero is equal to negative zero.
func Compare(a, b *pb.Value) int {
	kind := KindOf(a)
	if c := cmp.Compare(kind, KindOf(b)); c != 0 {
		return c
	}
	switch kind {
	case KindBool:
		return compareBool(a.GetBooleanValue(), b.GetBooleanValue())
	case KindNumber:
		return compareNumber(a, b)
	case KindTimestamp:
		ta, tb := a.GetTimestampValue(), b.GetTimestampValue()
		return cmp.Or(cmp.Compare(ta.GetSeconds(), tb.GetSeconds()), cmp.Compare(ta.GetNanos(), tb.GetNanos()))
	case KindString:
		return strings.Compare(a.GetStringValue(), b.GetStringValue())
	case KindBytes:
		return bytes.Compare(a.GetBytesValue(), b.GetBytesValue())
	case KindReference:
		return compareReference(a.GetReferenceValue(), b.GetReferenceValue())
	case KindGeoPoint:
		ga, gb := a.GetGeoPointValue(), b.GetGeoPointValue()
		return cmp.Or(cmp.Compare(ga.GetLatitude(), gb.GetLatitude()), cmp.Compare(ga.GetLongitude(), gb.GetLongitude()))
	case KindArray:
		return slices.CompareFunc(a.GetArrayValue().GetValues(), b.GetArrayValue().GetValues(), Compare)
	case KindVector:
		va, vb := vectorOf(a), vectorOf(b)
		return cmp.Or(cmp.Compare(len(va), len(vb)), slices.CompareFunc(va, vb, Compare))
	case KindMap:
		return compareMap(a.GetMapValue().GetFields(), b.GetMapValue().GetFields())
	}
	return 0
}

// Equal reports whether two values are equal in a filter: numbers by value, null equal to null, NaN equal to NaN.
func Equal(a, b *pb.Value) bool { return Compare(a, b) == 0 }

// Contains reports whether a value is equal to one of vs.
func Contains(vs []*pb.Value, v *pb.Value) bool {
	return slices.ContainsFunc(vs, func(e *pb.Value) bool { return Equal(e, v) })
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func compareNumber(a, b *pb.Value) int {
	fa, ra := splitNumber(a)
	fb, rb := splitNumber(b)
	return cmp.Or(cmp.Compare(fa, fb), cmp.Compare(ra, rb))
}

// splitNumber returns a number as the nearest double and the difference to it, which is zero for a double. Rounding
// preserves the order, so these pairs order as the numbers do.
func splitNumber(v *pb.Value) (float64, int16) {
	n, ok := v.GetValueType().(*pb.Value_IntegerValue)
	if !ok {
		return v.GetDoubleValue() + 0, 0 // adding 0 turns -0 into 0
	}
	f := float64(n.IntegerValue)
	if f >= 1<<63 { // f does not fit into an int64, but the difference does
		return f, int16(n.IntegerValue - math.MaxInt64 - 1)
	}
	return f, int16(n.IntegerValue - int64(f))
}

func compareReference(a, b string) int {
	da, pa, erra := name.ParseParent(a)
	db, pb, errb := name.ParseParent(b)
	if erra != nil || errb != nil {
		return strings.Compare(a, b)
	}
	return cmp.Or(strings.Compare(da.Project, db.Project), strings.Compare(da.ID, db.ID), name.Compare(pa, pb))
}

func compareMap(a, b map[string]*pb.Value) int {
	ka, kb := slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))
	for i := range min(len(ka), len(kb)) {
		if c := cmp.Or(strings.Compare(ka[i], kb[i]), Compare(a[ka[i]], b[kb[i]])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(ka), len(kb))
}
