package write

import (
	"math"
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// transform computes the new value of one field. compute receives the current value, nil if the field is missing, and
// returns the value to store and the value to report to the client.
type transform struct {
	path    field.Path
	compute func(current *pb.Value, now document.Time) (stored, reported *pb.Value)
}

func (t transform) apply(fields map[string]*pb.Value, now document.Time) *pb.Value {
	stored, reported := t.compute(field.Get(fields, t.path), now)
	field.Set(fields, t.path, stored)
	return reported
}

func parseTransforms(list []*pb.DocumentTransform_FieldTransform) ([]transform, error) {
	out := make([]transform, 0, len(list))
	for _, ft := range list {
		p, err := field.Parse(ft.GetFieldPath())
		if err != nil {
			return nil, err
		}
		if err := checkFieldPath(p); err != nil {
			return nil, err
		}
		compute, err := parseTransform(ft)
		if err != nil {
			return nil, err
		}
		out = append(out, transform{path: p, compute: compute})
	}
	return out, nil
}

func parseTransform(ft *pb.DocumentTransform_FieldTransform) (func(*pb.Value, document.Time) (stored, reported *pb.Value), error) {
	switch t := ft.GetTransformType().(type) {
	case *pb.DocumentTransform_FieldTransform_SetToServerValue:
		if t.SetToServerValue != pb.DocumentTransform_FieldTransform_REQUEST_TIME {
			return nil, status.Errorf(codes.InvalidArgument, "Unknown server value %v.", t.SetToServerValue)
		}
		return func(_ *pb.Value, now document.Time) (stored, reported *pb.Value) {
			v := &pb.Value{ValueType: &pb.Value_TimestampValue{TimestampValue: now.Proto()}}
			return v, v
		}, nil
	case *pb.DocumentTransform_FieldTransform_Increment:
		return numericTransform(t.Increment, add)
	case *pb.DocumentTransform_FieldTransform_Maximum:
		return numericTransform(t.Maximum, func(a, b *pb.Value) *pb.Value { return minOrMax(a, b, 1) })
	case *pb.DocumentTransform_FieldTransform_Minimum:
		return numericTransform(t.Minimum, func(a, b *pb.Value) *pb.Value { return minOrMax(a, b, -1) })
	case *pb.DocumentTransform_FieldTransform_AppendMissingElements:
		return arrayTransform(t.AppendMissingElements, union)
	case *pb.DocumentTransform_FieldTransform_RemoveAllFromArray:
		return arrayTransform(t.RemoveAllFromArray, remove)
	}
	return nil, status.Errorf(codes.InvalidArgument, "The transform of field %q has no type.", ft.GetFieldPath())
}

// numericTransform combines two numbers. The operand replaces a current value that is not a number.
func numericTransform(operand *pb.Value, combine func(current, operand *pb.Value) *pb.Value) (func(*pb.Value, document.Time) (stored, reported *pb.Value), error) {
	if value.KindOf(operand) != value.KindNumber {
		return nil, status.Error(codes.InvalidArgument, "The operand of an increment, maximum or minimum must be a number.")
	}
	return func(current *pb.Value, _ document.Time) (stored, reported *pb.Value) {
		v := operand
		if value.KindOf(current) == value.KindNumber {
			v = combine(current, operand)
		}
		return v, v
	}, nil
}

// add adds two integers with saturation, and other numbers as doubles.
func add(a, b *pb.Value) *pb.Value {
	x, xok := a.GetValueType().(*pb.Value_IntegerValue)
	y, yok := b.GetValueType().(*pb.Value_IntegerValue)
	if !xok || !yok {
		return value.Double(toFloat64(a) + toFloat64(b))
	}
	i, j := x.IntegerValue, y.IntegerValue
	switch {
	case j > 0 && i > math.MaxInt64-j:
		return value.Int(math.MaxInt64)
	case j < 0 && i < math.MinInt64-j:
		return value.Int(math.MinInt64)
	}
	return value.Int(i + j)
}

func toFloat64(v *pb.Value) float64 {
	if n, ok := v.GetValueType().(*pb.Value_IntegerValue); ok {
		return float64(n.IntegerValue)
	}
	return v.GetDoubleValue()
}

// minOrMax returns the greater (sign 1) or lesser (sign -1) number. If both are equal it returns current. NaN wins.
func minOrMax(current, operand *pb.Value, sign int) *pb.Value {
	switch {
	case value.IsNaN(current):
		return current
	case value.IsNaN(operand), value.Compare(operand, current)*sign > 0:
		return operand
	}
	return current
}

// arrayTransform combines two lists of elements. A current value that is not an array counts as an empty array. The
// reported value is null.
func arrayTransform(operand *pb.ArrayValue, combine func(current, operand []*pb.Value) []*pb.Value) (func(*pb.Value, document.Time) (stored, reported *pb.Value), error) {
	if err := value.CheckFields(map[string]*pb.Value{"elements": value.Array(operand.GetValues())}); err != nil {
		return nil, err
	}
	return func(current *pb.Value, _ document.Time) (stored, reported *pb.Value) {
		return value.Array(combine(current.GetArrayValue().GetValues(), operand.GetValues())), value.Null
	}, nil
}

func union(current, operand []*pb.Value) []*pb.Value {
	out := slices.Clone(current)
	for _, v := range operand {
		if !value.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func remove(current, operand []*pb.Value) []*pb.Value {
	return slices.DeleteFunc(slices.Clone(current), func(v *pb.Value) bool { return value.Contains(operand, v) })
}
