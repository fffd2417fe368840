// Package document is a stored document: its fields, its times and its form on disk.
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

// Time is an instant of the server's clock in microseconds since 1970. Zero is before everything.
type Time int64

// TimeOf cuts an instant to microseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// ParseTime reads a timestamp, cut to microseconds; none is zero.
func ParseTime(t *timestamppb.Timestamp) Time {
	if t == nil {
		return 0
	}
	return TimeOf(t.AsTime())
}

// Proto is the instant as a message.
func (t Time) Proto() *timestamppb.Timestamp { return timestamppb.New(time.UnixMicro(int64(t))) }

// Document is one version of a document. It is shared once made, and never changed.
type Document struct {
	Path                   name.Path
	Fields                 map[string]*pb.Value
	CreateTime, UpdateTime Time
}

// Proto is the document as clients see it. It shares the fields.
func (d *Document) Proto(db name.Database) *pb.Document {
	return &pb.Document{Name: d.Path.ResourceName(db), Fields: d.Fields, CreateTime: d.CreateTime.Proto(), UpdateTime: d.UpdateTime.Proto()}
}

// CloneFields copies the fields deep enough for field.Set and field.Delete to work on.
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

// ErrRecord says that bytes are no stored document.
var ErrCorrupt = errors.New("document: malformed record")

// headerSize is the two times in front of the fields.
const headerSize = 16

// Encode is the form of a document on disk; the path is its key there.
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

// Decode reads what Encode wrote. It keeps no part of b.
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
