package value

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// MaxKey bounds the encoding of one value in an index, in bytes. As in the cloud, what lies beyond the first 1500
// bytes of a value is not indexed; whoever reads the index compares the documents' values as well.
const MaxKeyBytes = 1500

// AppendKey appends an encoding of v whose bytes order as Compare does, and none of which is a prefix of another,
// as long as neither was cut at MaxKey.
func AppendKey(b []byte, v *pb.Value) []byte {
	start := len(b)
	b = appendKey(b, v)
	return b[:min(len(b), start+MaxKeyBytes)]
}

// AppendKeyDesc appends an encoding that orders in reverse.
func AppendKeyDesc(b []byte, v *pb.Value) []byte {
	start := len(b)
	b = AppendKey(b, v)
	for i := start; i < len(b); i++ {
		b[i] = ^b[i]
	}
	return b
}

func appendKey(b []byte, v *pb.Value) []byte {
	kind := KindOf(v)
	b = append(b, byte(kind))
	switch kind {
	case KindBool:
		if v.GetBooleanValue() {
			return append(b, 1)
		}
		return append(b, 0)
	case KindNumber:
		f, rest := splitNumber(v)
		return binary.BigEndian.AppendUint16(appendFloat(b, f), uint16(rest)^1<<15)
	case KindTimestamp:
		t := v.GetTimestampValue()
		b = binary.BigEndian.AppendUint64(b, uint64(t.GetSeconds())^1<<63)
		return binary.BigEndian.AppendUint32(b, uint32(t.GetNanos()))
	case KindString:
		return appendString(b, v.GetStringValue())
	case KindBytes:
		return appendString(b, string(v.GetBytesValue()[:min(len(v.GetBytesValue()), MaxKeyBytes)]))
	case KindReference:
		return appendReference(b, v.GetReferenceValue())
	case KindGeoPoint:
		return appendFloat(appendFloat(b, v.GetGeoPointValue().GetLatitude()+0), v.GetGeoPointValue().GetLongitude()+0)
	case KindArray:
		return appendList(b, v.GetArrayValue().GetValues())
	case KindVector:
		vs := vectorOf(v)
		return appendList(binary.BigEndian.AppendUint32(b, uint32(len(vs))), vs)
	case KindMap:
		fields := v.GetMapValue().GetFields()
		for _, k := range slices.Sorted(maps.Keys(fields)) {
			b = append(b, byte(KindString))
			b = name.AppendString(b, k)
			b = appendKey(b, fields[k])
		}
		return append(b, 0)
	}
	return b
}

// appendText leaves out what AppendKey would cut off in any case, so that a long text costs no more than a short one.
func appendString(b []byte, s string) []byte {
	return name.AppendString(b, s[:min(len(s), MaxKeyBytes)])
}

func appendList(b []byte, vs []*pb.Value) []byte {
	start := len(b)
	for _, v := range vs {
		if len(b)-start > MaxKeyBytes {
			break
		}
		b = appendKey(b, v)
	}
	return append(b, 0)
}

// appendFloat writes NaN before all other numbers.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) {
		return binary.BigEndian.AppendUint64(b, 0)
	}
	bits := math.Float64bits(f)
	if bits>>63 == 1 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(b, bits)
}

func appendReference(b []byte, s string) []byte {
	d, p, err := name.ParseParent(s)
	if err != nil { // cannot be stored; only a filter may ask for it
		return name.AppendString(b, s)
	}
	b = name.AppendString(b, d.Project)
	b = name.AppendString(b, d.ID)
	return append(name.AppendKey(b, p), 0)
}
