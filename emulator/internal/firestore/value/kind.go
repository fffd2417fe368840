// Package value orders, encodes, measures and checks Firestore values.
package value

import (
	"math"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
)

// Kind ranks the types of values: values of different kinds order by it, and range filters stay within one.
// The numbers are written into index keys and must not change; zero ends a list there.
type Kind byte

// The kinds in their documented order.
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

// A vector is a map with this type field, and its numbers under vectorField.
const (
	typeField   = "__type__"
	vectorType  = "__vector__"
	vectorField = "value"
)

// Null and NaN are shared: nobody may change them.
var (
	Null = &pb.Value{ValueType: &pb.Value_NullValue{}}
	NaN  = Double(math.NaN())
)

// KindOf tells the kind of a value; zero for one without a type, or with a type only pipelines know.
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

// IsNaN says whether the value is the number NaN.
func IsNaN(v *pb.Value) bool {
	d, ok := v.GetValueType().(*pb.Value_DoubleValue)
	return ok && math.IsNaN(d.DoubleValue)
}

// IsNull says whether the value is null. A missing value is not.
func IsNull(v *pb.Value) bool { return KindOf(v) == KindNull }

func vectorOf(v *pb.Value) []*pb.Value {
	return v.GetMapValue().GetFields()[vectorField].GetArrayValue().GetValues()
}

// Int makes an integer value.
func Int(n int64) *pb.Value { return &pb.Value{ValueType: &pb.Value_IntegerValue{IntegerValue: n}} }

// Double makes a floating-point value.
func Double(f float64) *pb.Value { return &pb.Value{ValueType: &pb.Value_DoubleValue{DoubleValue: f}} }

// Reference makes a reference to the document of this full name.
func Reference(s string) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_ReferenceValue{ReferenceValue: s}}
}

// Array makes an array; it keeps the slice.
func Array(vs []*pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_ArrayValue{ArrayValue: &pb.ArrayValue{Values: vs}}}
}
