package value_test

import (
	"bytes"
	"cmp"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/type/latlng"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

func text(s string) *pb.Value { return &pb.Value{ValueType: &pb.Value_StringValue{StringValue: s}} }

func object(fields map[string]*pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: fields}}}
}

func vector(fs ...float64) *pb.Value {
	var vs []*pb.Value
	for _, f := range fs {
		vs = append(vs, value.Double(f))
	}
	return object(map[string]*pb.Value{"__type__": text("__vector__"), "value": value.Array(vs)})
}

func boolean(b bool) *pb.Value { return &pb.Value{ValueType: &pb.Value_BooleanValue{BooleanValue: b}} }

func blob(s string) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_BytesValue{BytesValue: []byte(s)}}
}

func instant(sec int64, nanos int) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_TimestampValue{TimestampValue: timestamppb.New(time.Unix(sec, int64(nanos)))}}
}

func geo(lat, lng float64) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_GeoPointValue{GeoPointValue: &latlng.LatLng{Latitude: lat, Longitude: lng}}}
}

const docs = "projects/p/databases/d/documents/"

// ascending lists values in the documented order, across and within types. Values in one row are equal.
var ascending = [][]*pb.Value{
	{value.Null},
	{boolean(false)},
	{boolean(true)},
	{value.NaN},
	{value.Double(math.Inf(-1))},
	{value.Int(math.MinInt64), value.Double(math.MinInt64)},
	{value.Double(-1.5)},
	{value.Int(0), value.Double(0), value.Double(math.Copysign(0, -1))},
	{value.Double(math.SmallestNonzeroFloat64)},
	{value.Int(1), value.Double(1)},
	{value.Int(1<<53 - 1)},
	{value.Int(1 << 53), value.Double(1 << 53)},
	{value.Int(1<<53 + 1)},
	{value.Int(1<<53 + 2), value.Double(1<<53 + 2)},
	{value.Int(math.MaxInt64 - 1)},
	{value.Int(math.MaxInt64)},
	{value.Double(1 << 63)},
	{value.Double(math.Inf(1))},
	{instant(-1, 5000)},
	{instant(0, 0)},
	{instant(0, 1000)},
	{text("")},
	{text("\x00")},
	{text("a")},
	{text("a\x00")},
	{text("a\x00b")},
	{text("ab")},
	{text("\u00e9")},
	{text("\U0001F600")},
	{blob("")},
	{blob("\x00")},
	{blob("a")},
	{blob("\xff")},
	{value.Reference(docs + "c/__id-5__")},
	{value.Reference(docs + "c/__id10__")},
	{value.Reference(docs + "c/a")},
	{value.Reference(docs + "c/a/d/a")},
	{value.Reference(docs + "c/b")},
	{value.Reference("projects/q/databases/d/documents/a/a")},
	{geo(-90, 10)},
	{geo(0, -1)},
	{geo(0, 0)},
	{value.Array(nil)},
	{value.Array([]*pb.Value{value.Int(1)}), value.Array([]*pb.Value{value.Double(1)})},
	{value.Array([]*pb.Value{value.Int(1), value.Null})},
	{value.Array([]*pb.Value{value.Int(2)})},
	{vector(9)},
	{vector(1, 1)},
	{vector(1, 2)},
	{object(nil)},
	{object(map[string]*pb.Value{"a": value.Int(1)})},
	{object(map[string]*pb.Value{"a": value.Int(1), "b": value.Null})},
	{object(map[string]*pb.Value{"a": value.Int(2)})},
	{object(map[string]*pb.Value{"b": value.Null})},
}

func TestDocumentedOrder(t *testing.T) {
	for i, as := range ascending {
		for j, bs := range ascending {
			for _, a := range as {
				for _, b := range bs {
					require.Equal(t, cmp.Compare(i, j), value.Compare(a, b), "%v and %v", a, b)
					require.Equal(t, cmp.Compare(i, j), bytes.Compare(value.AppendKey(nil, a), value.AppendKey(nil, b)), "keys of %v and %v", a, b)
					require.Equal(t, cmp.Compare(j, i), bytes.Compare(value.AppendKeyDesc(nil, a), value.AppendKeyDesc(nil, b)), "descending keys of %v and %v", a, b)
				}
			}
		}
	}
}

func genValue(depth int) *rapid.Generator[*pb.Value] {
	return rapid.Custom(func(t *rapid.T) *pb.Value {
		kind := rapid.IntRange(0, 9).Draw(t, "kind")
		if kind > 7 && depth == 0 {
			kind -= 5
		}
		switch kind {
		case 0:
			return value.Null
		case 1:
			return boolean(rapid.Bool().Draw(t, "bool"))
		case 2, 3:
			return value.Int(rapid.Int64().Draw(t, "int"))
		case 4:
			return value.Double(rapid.Float64().Draw(t, "double"))
		case 5:
			return text(rapid.String().Draw(t, "string"))
		case 6:
			return blob(string(rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "bytes")))
		case 7:
			return instant(rapid.Int64Range(-1e10, 1e10).Draw(t, "seconds"), rapid.IntRange(0, 999_999).Draw(t, "micros")*1000)
		case 8:
			return value.Array(rapid.SliceOfN(genValue(depth-1), 0, 3).Draw(t, "array"))
		}
		return object(rapid.MapOfN(rapid.StringN(1, 3, 8), genValue(depth-1), 0, 3).Draw(t, "map"))
	})
}

// TestKeyOrderMatchesValueOrder also checks that no key is a prefix of another, which ranges of indexes rely on.
func TestKeyOrderMatchesValueOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genValue(2).Draw(t, "a"), genValue(2).Draw(t, "b")
		ka, kb := value.AppendKey(nil, a), value.AppendKey(nil, b)
		require.Equal(t, value.Compare(a, b), bytes.Compare(ka, kb))
		require.Equal(t, value.Compare(b, a), bytes.Compare(value.AppendKeyDesc(nil, a), value.AppendKeyDesc(nil, b)))
		if !bytes.Equal(ka, kb) {
			require.False(t, bytes.HasPrefix(ka, kb) || bytes.HasPrefix(kb, ka))
		}
	})
}

// TestNumbersCompareExactly compares the result with arithmetic of arbitrary precision.
func TestNumbersCompareExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "int")
		f := float64(n)
		for range rapid.IntRange(0, 2).Draw(t, "steps") {
			f = math.Nextafter(f, rapid.SampledFrom([]float64{math.Inf(-1), math.Inf(1)}).Draw(t, "to"))
		}
		want := new(big.Float).SetInt64(n).Cmp(big.NewFloat(f))
		require.Equal(t, want, value.Compare(value.Int(n), value.Double(f)))
	})
}

func TestLongValuesAreTruncated(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	require.Len(t, value.AppendKey(nil, text(long)), value.MaxKeyBytes)
	require.Len(t, value.AppendKey(nil, value.Array(slices.Repeat([]*pb.Value{text(long)}, 3))), value.MaxKeyBytes)
	require.Len(t, value.AppendKeyDesc([]byte("before"), text(long)), value.MaxKeyBytes+len("before"))
}
