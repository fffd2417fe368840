package value

import (
	"unicode/utf8"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// Documented limits of a document.
const (
	MaxDocumentBytes = 1 << 20 // by the rules of "Storage size calculations"
	MaxDepth         = 20      // nested maps and arrays
)

// Size returns the storage size of a value in bytes, by the documented rules.
func Size(v *pb.Value) int {
	switch KindOf(v) {
	case KindNull, KindBool:
		return 1
	case KindNumber, KindTimestamp:
		return 8
	case KindString:
		return len(v.GetStringValue()) + 1
	case KindBytes:
		return len(v.GetBytesValue())
	case KindReference:
		_, p, _ := name.ParseParent(v.GetReferenceValue())
		return PathSize(p)
	case KindGeoPoint:
		return 16
	case KindArray:
		n := 0
		for _, e := range v.GetArrayValue().GetValues() {
			n += Size(e)
		}
		return n
	}
	return FieldsSize(v.GetMapValue().GetFields())
}

// FieldsSize returns the storage size of the fields of a map or a document, in bytes.
func FieldsSize(fields map[string]*pb.Value) int {
	n := 0
	for k, v := range fields {
		n += len(k) + 1 + Size(v)
	}
	return n
}

// PathSize returns the storage size of a document's name, in bytes.
func PathSize(p name.Path) int {
	n := 16
	for _, id := range p {
		n += len(id) + 1
	}
	return n
}

// CheckFields checks names, types, nesting and timestamps of a document's fields. It truncates the timestamps to
// microseconds in place. It does not check the size, because the fields may be only a part of the document.
func CheckFields(fields map[string]*pb.Value) error {
	return checkMap(fields, 0)
}

func checkMap(fields map[string]*pb.Value, depth int) error {
	if depth > MaxDepth {
		return status.Errorf(codes.InvalidArgument, "The document nests maps and arrays more than %d levels deep.", MaxDepth)
	}
	for k, v := range fields {
		if err := field.CheckName(k); err != nil {
			return err
		}
		if err := checkValue(v, depth); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(v *pb.Value, depth int) error {
	switch KindOf(v) {
	case 0:
		return status.Error(codes.InvalidArgument, "A value has no type, or a type that a document cannot contain.")
	case KindString:
		if !utf8.ValidString(v.GetStringValue()) {
			return status.Error(codes.InvalidArgument, "A string value is not valid UTF-8.")
		}
	case KindTimestamp:
		return checkTimestamp(v)
	case KindReference:
		_, _, err := name.ParseDocument(v.GetReferenceValue())
		return err
	case KindGeoPoint:
		g := v.GetGeoPointValue()
		if !(g.GetLatitude() >= -90 && g.GetLatitude() <= 90 && g.GetLongitude() >= -180 && g.GetLongitude() <= 180) {
			return status.Error(codes.InvalidArgument, "A geo point lies outside latitude [-90, 90], longitude [-180, 180].")
		}
	case KindArray:
		return checkArray(v.GetArrayValue().GetValues(), depth+1)
	case KindVector:
		return checkVector(v)
	case KindMap:
		return checkMap(v.GetMapValue().GetFields(), depth+1)
	}
	return nil
}

func checkTimestamp(v *pb.Value) error {
	t := v.GetTimestampValue()
	if err := t.CheckValid(); err != nil {
		return status.Errorf(codes.InvalidArgument, "A timestamp is out of range: %v.", err)
	}
	if rest := t.Nanos % 1000; rest != 0 { // never so in a stored value, which is shared and must not change
		t.Nanos -= rest
	}
	return nil
}

func checkArray(vs []*pb.Value, depth int) error {
	if depth > MaxDepth {
		return status.Errorf(codes.InvalidArgument, "The document nests maps and arrays more than %d levels deep.", MaxDepth)
	}
	for _, v := range vs {
		if KindOf(v) == KindArray {
			return status.Error(codes.InvalidArgument, "Cannot store an array within an array.")
		}
		if err := checkValue(v, depth); err != nil {
			return err
		}
	}
	return nil
}

// checkVector accepts what the client libraries send: the type field and an array of doubles.
func checkVector(v *pb.Value) error {
	fields := v.GetMapValue().GetFields()
	vs := vectorOf(v)
	if len(fields) != 2 || len(vs) == 0 || len(vs) > 2048 {
		return status.Error(codes.InvalidArgument, "A vector needs from 1 to 2048 numbers and nothing else.")
	}
	for _, e := range vs {
		if KindOf(e) != KindNumber {
			return status.Error(codes.InvalidArgument, "A vector contains a value that is not a number.")
		}
	}
	return nil
}
