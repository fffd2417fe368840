// Package value orders, encodes, measures and checks the values of Firestore fields. It reads no storage.
package value

import (
	"math"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
)

// Kind is the type of a value, for the order: values of different kinds order by kind, and a range filter matches only
// values of its own kind. The numbers are part of the keys of indexes on disk and must not change. Zero marks the end
// of a list there.
type Kind byte

// The kinds, in their documented order.
const (
	KindNull Kind = iota + 1
	KindBool
	KindNumber
	KindTimestamp
	KindString
	KindBytes
	KindReference
	KindGeoPoint
	KindArray
	KindVector
	KindMap
)

// A vector is a map whose field typeField is vectorType and whose field vectorField contains the numbers.
const (
	typeField   = "__type__"
	vectorType  = "__vector__"
	vectorField = "value"
)

// Null and NaN are shared. They must not be changed.
var (
	Null = &pb.Value{ValueType: &pb.Value_NullValue{}}
	NaN  = Double(math.NaN())
)

// KindOf returns the kind of a value; zero for a value without a type, or with a type that only pipelines use.
func KindOf(v *pb.Value) Kind {
	switch t := v.GetValueType().(type) {
	case *pb.Value_NullValue:
		return KindNull
	case *pb.Value_BooleanValue:
		return KindBool
	case *pb.Value_IntegerValue, *pb.Value_DoubleValue:
		return KindNumber
	case *pb.Value_TimestampValue:
		return KindTimestamp
	case *pb.Value_StringValue:
		return KindString
	case *pb.Value_BytesValue:
		return KindBytes
	case *pb.Value_ReferenceValue:
		return KindReference
	case *pb.Value_GeoPointValue:
		return KindGeoPoint
	case *pb.Value_ArrayValue:
		return KindArray
	case *pb.Value_MapValue:
		if t.MapValue.GetFields()[typeField].GetStringValue() == vectorType {
			return KindVector
		}
		return KindMap
	}
	return 0
}

// IsNaN reports whether the value is the number NaN.
func IsNaN(v *pb.Value) bool {
	d, ok := v.GetValueType().(*pb.Value_DoubleValue)
	return ok && math.IsNaN(d.DoubleValue)
}

// IsNull reports whether the value is null. A missing value is not null.
func IsNull(v *pb.Value) bool { return KindOf(v) == KindNull }

func vectorOf(v *pb.Value) []*pb.Value {
	return v.GetMapValue().GetFields()[vectorField].GetArrayValue().GetValues()
}

// Int returns an integer value.
func Int(n int64) *pb.Value { return &pb.Value{ValueType: &pb.Value_IntegerValue{IntegerValue: n}} }

// Double returns a floating-point value.
func Double(f float64) *pb.Value { return &pb.Value{ValueType: &pb.Value_DoubleValue{DoubleValue: f}} }

// Reference returns a reference to the document with this full name.
func Reference(s string) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_ReferenceValue{ReferenceValue: s}}
}

// Array returns an array. It uses the slice without a copy.
func Array(vs []*pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_ArrayValue{ArrayValue: &pb.ArrayValue{Values: vs}}}
}
