// Package document defines one version of a document: its fields, its times and its record on disk. It reads no disk.
package document

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// Time is a time of the server's clock, in microseconds since 1970. Zero is before all others.
type Time int64

// TimeOf truncates a time to microseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// ParseTime truncates a timestamp to microseconds. Nil is zero.
func ParseTime(t *timestamppb.Timestamp) Time {
	if t == nil {
		return 0
	}
	return TimeOf(t.AsTime())
}

// Proto returns the time as a message.
func (t Time) Proto() *timestamppb.Timestamp { return timestamppb.New(time.UnixMicro(int64(t))) }

// Document is one version of a document. It is immutable, because many readers share it.
type Document struct {
	Path                   name.Path
	Fields                 map[string]*pb.Value
	CreateTime, UpdateTime Time
}

// Proto returns the document as clients see it. The message shares the fields, so the caller must not change them.
func (d *Document) Proto(db name.Database) *pb.Document {
	return &pb.Document{Name: d.Path.ResourceName(db), Fields: d.Fields, CreateTime: d.CreateTime.Proto(), UpdateTime: d.UpdateTime.Proto()}
}

// CloneFields copies the fields and all nested maps, so that field.Set and field.Delete can change the copy.
func (d *Document) CloneFields() map[string]*pb.Value {
	if d == nil {
		return map[string]*pb.Value{}
	}
	return cloneMap(d.Fields)
}

func cloneMap(m map[string]*pb.Value) map[string]*pb.Value {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]*pb.Value{}
	}
	for k, v := range out {
		if mv, ok := v.GetValueType().(*pb.Value_MapValue); ok {
			out[k] = &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: cloneMap(mv.MapValue.GetFields())}}}
		}
	}
	return out
}

// ErrCorrupt reports bytes that are not the record of a document.
var ErrCorrupt = errors.New("document: malformed record")

// headerSize is the size of the two times before the fields.
const headerSize = 16

// Encode returns the record of the document on disk. The record does not contain the path, which is its key.
func (d *Document) Encode() ([]byte, error) {
	b := make([]byte, headerSize, 512)
	binary.BigEndian.PutUint64(b, uint64(d.CreateTime))
	binary.BigEndian.PutUint64(b[8:], uint64(d.UpdateTime))
	b, err := proto.MarshalOptions{}.MarshalAppend(b, &pb.MapValue{Fields: d.Fields})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", d.Path, err)
	}
	return b, nil
}

// Decode decodes a record. The document does not refer to b.
func Decode(p name.Path, b []byte) (*Document, error) {
	if len(b) < headerSize {
		return nil, ErrCorrupt
	}
	var m pb.MapValue
	if err := proto.Unmarshal(b[headerSize:], &m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, p, err)
	}
	return &Document{
		Path:       p,
		Fields:     m.GetFields(),
		CreateTime: Time(binary.BigEndian.Uint64(b)),
		UpdateTime: Time(binary.BigEndian.Uint64(b[8:])),
	}, nil
}
