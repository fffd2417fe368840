package write_test

import (
	"math"
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
	"github.com/airlock-run/airlock/emulator/internal/firestore/write"
)

var (
	database = name.Database{Project: "p", ID: "d"}
	path     = name.Path{"c", "d"}
)

func text(s string) *pb.Value { return &pb.Value{ValueType: &pb.Value_StringValue{StringValue: s}} }

func object(k string, v *pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: map[string]*pb.Value{k: v}}}}
}

func update(fields map[string]*pb.Value, mask ...string) *pb.Write {
	w := &pb.Write{Operation: &pb.Write_Update{Update: &pb.Document{Name: path.ResourceName(database), Fields: fields}}}
	if mask != nil {
		w.UpdateMask = &pb.DocumentMask{FieldPaths: mask}
	}
	return w
}

func apply(t *testing.T, old *document.Document, w *pb.Write) *document.Document {
	t.Helper()
	parsed, err := write.Parse(database, w)
	require.NoError(t, err)
	d, _, err := parsed.Apply(old, 100)
	require.NoError(t, err)
	return d
}

func TestApply(t *testing.T) {
	old := func() *document.Document {
		return &document.Document{Path: path, CreateTime: 1, UpdateTime: 2, Fields: map[string]*pb.Value{"a": value.Int(1), "m": object("x", value.Int(1))}}
	}
	for _, tt := range []struct {
		name  string
		write *pb.Write
		want  map[string]*pb.Value
	}{
		{"no mask replaces the document", update(map[string]*pb.Value{"b": text("x")}), map[string]*pb.Value{"b": text("x")}},
		{"mask merges", update(map[string]*pb.Value{"b": text("x"), "not": text("in mask")}, "b"), map[string]*pb.Value{"a": value.Int(1), "b": text("x"), "m": object("x", value.Int(1))}},
		{"field only in the mask is deleted", update(nil, "a", "m.x"), map[string]*pb.Value{"m": {ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{}}}}},
		{"map in the mask is replaced", update(map[string]*pb.Value{"m": object("y", value.Int(2))}, "m"), map[string]*pb.Value{"a": value.Int(1), "m": object("y", value.Int(2))}},
		{"other fields of a map stay", update(map[string]*pb.Value{"m": object("y", value.Int(2))}, "m.y"), map[string]*pb.Value{"a": value.Int(1), "m": {ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: map[string]*pb.Value{"x": value.Int(1), "y": value.Int(2)}}}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			was := old()
			got := apply(t, was, tt.write)
			require.Empty(t, cmp.Diff(tt.want, got.Fields, protocmp.Transform()))
			require.Equal(t, document.Time(1), got.CreateTime)
			require.Equal(t, document.Time(100), got.UpdateTime)
			require.Empty(t, cmp.Diff(old(), was, protocmp.Transform()), "the old version does not change")
		})
	}
	fresh := apply(t, nil, update(map[string]*pb.Value{"a": value.Int(1)}, "a"))
	require.Equal(t, document.Time(100), fresh.CreateTime)
	same := old()
	require.Same(t, same, apply(t, same, update(old().Fields)), "a write that changes nothing returns the old version")
	require.Nil(t, apply(t, old(), &pb.Write{Operation: &pb.Write_Delete{Delete: path.ResourceName(database)}}))
}

func TestNumericTransforms(t *testing.T) {
	type transform = pb.DocumentTransform_FieldTransform
	increment := func(v *pb.Value) *transform {
		return &transform{FieldPath: "n", TransformType: &pb.DocumentTransform_FieldTransform_Increment{Increment: v}}
	}
	maximum := func(v *pb.Value) *transform {
		return &transform{FieldPath: "n", TransformType: &pb.DocumentTransform_FieldTransform_Maximum{Maximum: v}}
	}
	minimum := func(v *pb.Value) *transform {
		return &transform{FieldPath: "n", TransformType: &pb.DocumentTransform_FieldTransform_Minimum{Minimum: v}}
	}
	negativeZero := value.Double(math.Copysign(0, -1))
	for _, tt := range []struct {
		name   string
		before *pb.Value
		do     *transform
		want   *pb.Value
	}{
		{"overflow", value.Int(math.MaxInt64), increment(value.Int(1)), value.Int(math.MaxInt64)},
		{"underflow", value.Int(math.MinInt64 + 1), increment(value.Int(-5)), value.Int(math.MinInt64)},
		{"no overflow", value.Int(math.MinInt64), increment(value.Int(math.MaxInt64)), value.Int(-1)},
		{"double", value.Int(1), increment(value.Double(1)), value.Double(2)},
		{"missing field", nil, increment(value.Int(1)), value.Int(1)},
		{"null", value.Null, maximum(value.Int(1)), value.Int(1)},
		{"greater", value.Int(1), maximum(value.Double(1.5)), value.Double(1.5)},
		{"equal numbers", value.Int(0), maximum(negativeZero), value.Int(0)},
		{"lesser", value.Double(1.5), minimum(value.Int(1)), value.Int(1)},
		{"NaN wins", value.Int(1), maximum(value.NaN), value.NaN},
		{"NaN wins in minimum", value.Int(1), minimum(value.NaN), value.NaN},
		{"NaN stays", value.NaN, minimum(value.Int(1)), value.NaN},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var old *document.Document
			if tt.before != nil {
				old = &document.Document{Path: path, Fields: map[string]*pb.Value{"n": tt.before}}
			}
			w := update(nil, []string{}...)
			w.UpdateMask = &pb.DocumentMask{}
			w.UpdateTransforms = []*transform{tt.do}
			parsed, err := write.Parse(database, w)
			require.NoError(t, err)
			d, results, err := parsed.Apply(old, 1)
			require.NoError(t, err)
			require.True(t, proto.Equal(tt.want, d.Fields["n"]), "%v", d.Fields["n"])
			require.True(t, proto.Equal(tt.want, results[0]), "the reported value is the stored value")
		})
	}
}

func TestParseInvalid(t *testing.T) {
	full := path.ResourceName(database)
	for name, w := range map[string]*pb.Write{
		"transform of a name":     {Operation: &pb.Write_Transform{Transform: &pb.DocumentTransform{Document: full, FieldTransforms: []*pb.DocumentTransform_FieldTransform{{FieldPath: "__name__", TransformType: &pb.DocumentTransform_FieldTransform_Increment{Increment: value.Int(1)}}}}}},
		"increment by text":       {Operation: &pb.Write_Transform{Transform: &pb.DocumentTransform{Document: full, FieldTransforms: []*pb.DocumentTransform_FieldTransform{{FieldPath: "a", TransformType: &pb.DocumentTransform_FieldTransform_Increment{Increment: text("1")}}}}}},
		"union with an array":     {Operation: &pb.Write_Transform{Transform: &pb.DocumentTransform{Document: full, FieldTransforms: []*pb.DocumentTransform_FieldTransform{{FieldPath: "a", TransformType: &pb.DocumentTransform_FieldTransform_AppendMissingElements{AppendMissingElements: &pb.ArrayValue{Values: []*pb.Value{value.Array(nil)}}}}}}}},
		"transform without type":  {Operation: &pb.Write_Transform{Transform: &pb.DocumentTransform{Document: full, FieldTransforms: []*pb.DocumentTransform_FieldTransform{{FieldPath: "a"}}}}},
		"mask of a reserved name": update(nil, "__x__"),
		"malformed path in mask":  update(nil, "a..b"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := write.Parse(database, w)
			require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
		})
	}
}

func TestTransformsRespectLimits(t *testing.T) {
	deep := value.Int(1)
	for range value.MaxDepth - 1 {
		deep = object("m", deep)
	}
	full := path.ResourceName(database)
	p := "a.b.c.d"
	w, err := write.Parse(database, &pb.Write{Operation: &pb.Write_Update{Update: &pb.Document{Name: full}}, UpdateMask: &pb.DocumentMask{}, UpdateTransforms: []*pb.DocumentTransform_FieldTransform{
		{FieldPath: p, TransformType: &pb.DocumentTransform_FieldTransform_AppendMissingElements{AppendMissingElements: &pb.ArrayValue{Values: []*pb.Value{deep}}}},
	}})
	if err == nil {
		_, _, err = w.Apply(nil, 1)
	}
	require.Equal(t, codes.InvalidArgument, status.Code(err))
}
