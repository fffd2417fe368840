package value

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// MaxKeyBytes is the maximum size of one encoded value in an index. As in the cloud, an index contains only the first
// 1,500 bytes of a value, so a reader of the index must also compare the values of the documents.
const MaxKeyBytes = 1500

// AppendKey appends the encoded value, truncated to MaxKeyBytes. The bytes of encoded values order as Compare does,
// and none is a prefix of another, unless one of them is truncated.
func AppendKey(b []byte, v *pb.Value) []byte {
	start := len(b)
	b = appendKey(b, v)
	return b[:min(len(b), start+MaxKeyBytes)]
}

// AppendKeyDesc appends the encoded value for the reverse order.
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

// appendString encodes no more of a string than AppendKey keeps, so that a long string costs no more than a short one.
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

// appendFloat encodes NaN as less than all other numbers.
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
	if err != nil { // possible only in a filter: documents contain valid references
		return name.AppendString(b, s)
	}
	b = name.AppendString(b, d.Project)
	b = name.AppendString(b, d.ID)
	return append(name.AppendKey(b, p), 0)
}
