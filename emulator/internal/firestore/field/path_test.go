package field_test

import (
	"strings"
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]field.Path{
		"a":           {"a"},
		"a.b_2.C":     {"a", "b_2", "C"},
		"`a.b`.c":     {"a.b", "c"},
		"a.`b\\`c`":   {"a", "b`c"},
		"`\\\\`":      {"\\"},
		"__name__":    {"__name__"},
		"":            nil,
		"a..b":        nil,
		"a.":          nil,
		".a":          nil,
		"1a":          nil,
		"a-b":         nil,
		"`a":          nil,
		"`a`b":        nil,
		"``":          nil,
		"`a\\":        nil,
		"é":           nil,
		"`é`":         {"é"},
		longest + "a": nil,
	} {
		got, err := field.Parse(in)
		require.Equal(t, want == nil, err != nil, "%q: %v", in, err)
		require.Equal(t, want, got, "%q", in)
	}
}

var longest = strings.Repeat("a", 1500)

func TestStringRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := field.Path(rapid.SliceOfN(rapid.StringN(1, 5, 20), 1, 4).Draw(t, "path"))
		back, err := field.Parse(p.String())
		require.NoError(t, err)
		require.Equal(t, p, back)
	})
}

func integer(n int64) *pb.Value { return &pb.Value{ValueType: &pb.Value_IntegerValue{IntegerValue: n}} }

func object(fields map[string]*pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: fields}}}
}

func sample() map[string]*pb.Value {
	return map[string]*pb.Value{"a": integer(1), "m": object(map[string]*pb.Value{"x": integer(2), "y": integer(3)})}
}

func TestSetAndDelete(t *testing.T) {
	fields := sample()
	field.Set(fields, field.Path{"m", "x"}, integer(9))
	field.Set(fields, field.Path{"a", "b"}, integer(4))
	field.Delete(fields, field.Path{"m", "y"})
	field.Delete(fields, field.Path{"none", "x"})
	want := map[string]*pb.Value{"a": object(map[string]*pb.Value{"b": integer(4)}), "m": object(map[string]*pb.Value{"x": integer(9)})}
	require.Empty(t, cmp.Diff(want, fields, protocmp.Transform()))
	require.Nil(t, field.Get(fields, field.Path{"a", "b", "c"}))
}

func TestProjectDoesNotModifySource(t *testing.T) {
	for _, tt := range []struct {
		mask []field.Path
		want map[string]*pb.Value
	}{
		{nil, sample()},
		{[]field.Path{}, map[string]*pb.Value{}},
		{[]field.Path{{"m", "x"}, {"none"}}, map[string]*pb.Value{"m": object(map[string]*pb.Value{"x": integer(2)})}},
		{[]field.Path{{"m"}, {"m", "x"}}, map[string]*pb.Value{"m": sample()["m"]}},
		{[]field.Path{{"m", "x"}, {"m"}}, map[string]*pb.Value{"m": sample()["m"]}},
	} {
		fields := sample()
		require.Empty(t, cmp.Diff(tt.want, field.Project(fields, tt.mask), protocmp.Transform()))
		require.Empty(t, cmp.Diff(sample(), fields, protocmp.Transform()))
	}
}
