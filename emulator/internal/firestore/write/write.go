// Package write parses writes and applies them to documents. It receives a write and the current version of a document,
// and returns the next version. It reads and writes no storage.
package write

import (
	"maps"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// Write is one checked write to one document.
type Write struct {
	Path name.Path

	delete       bool
	fields       map[string]*pb.Value
	mask         []field.Path // nil replaces the whole document
	transforms   []transform
	precondition *pb.Precondition
}

// IsDelete reports whether the write deletes the document.
func (w Write) IsDelete() bool { return w.delete }

// Parse checks that a write is valid and for this database.
func Parse(db name.Database, w *pb.Write) (Write, error) {
	out := Write{precondition: w.GetCurrentDocument()}
	if err := validatePrecondition(out.precondition); err != nil {
		return out, err
	}
	var target string
	switch op := w.GetOperation().(type) {
	case *pb.Write_Update:
		target, out.fields = op.Update.GetName(), op.Update.GetFields()
	case *pb.Write_Delete:
		target, out.delete = op.Delete, true
	case *pb.Write_Transform:
		// An old kind of write, which contains only transforms.
		target, out.mask = op.Transform.GetDocument(), []field.Path{}
		w = &pb.Write{UpdateTransforms: op.Transform.GetFieldTransforms(), UpdateMask: &pb.DocumentMask{}}
	default:
		return out, status.Error(codes.InvalidArgument, "A write has no operation.")
	}
	var err error
	if out.Path, err = parseTarget(db, target); err != nil {
		return out, err
	}
	if out.delete {
		return out, nil
	}
	if out.mask, err = parseMask(w.GetUpdateMask()); err != nil {
		return out, err
	}
	if err := value.CheckFields(out.fields); err != nil {
		return out, err
	}
	out.transforms, err = parseTransforms(w.GetUpdateTransforms())
	return out, err
}

func parseTarget(db name.Database, s string) (name.Path, error) {
	got, p, err := name.ParseDocument(s)
	if err != nil {
		return nil, err
	}
	if got != db {
		return nil, status.Errorf(codes.InvalidArgument, "Document %q is not in database %q.", s, db)
	}
	return p, nil
}

func parseMask(m *pb.DocumentMask) ([]field.Path, error) {
	mask, err := field.ParseMask(m)
	if err != nil {
		return nil, err
	}
	for _, p := range mask {
		if err := checkFieldPath(p); err != nil {
			return nil, err
		}
	}
	return mask, nil
}

// checkFieldPath refuses field paths that a write cannot set.
func checkFieldPath(p field.Path) error {
	for _, part := range p {
		if err := field.CheckName(part); err != nil {
			return err
		}
	}
	return nil
}

// Apply returns the next version of a document and the results of the transforms. old is the current version. Nil
// means a missing document, in both versions. now is the update time and the value of server timestamps. A write that
// changes nothing returns old itself.
func (w Write) Apply(old *document.Document, now document.Time) (*document.Document, []*pb.Value, error) {
	if err := w.checkPrecondition(old); err != nil {
		return nil, nil, err
	}
	if w.delete {
		return nil, nil, nil
	}
	fields := w.mergeFields(old)
	results := make([]*pb.Value, 0, len(w.transforms))
	for _, t := range w.transforms {
		results = append(results, t.apply(fields, now))
	}
	if old != nil && equalFields(old.Fields, fields) {
		return old, results, nil
	}
	if n := value.PathSize(w.Path) + value.FieldsSize(fields) + 32; n > value.MaxDocumentBytes {
		return nil, nil, status.Errorf(codes.InvalidArgument, "Document %q cannot be written because its size (%d bytes) exceeds the maximum allowed size of %d bytes.", w.Path, n, value.MaxDocumentBytes)
	}
	if len(w.transforms) > 0 || w.mask != nil { // Parse has checked the fields of the write, not the result
		if err := value.CheckFields(fields); err != nil {
			return nil, nil, err
		}
	}
	next := &document.Document{Path: w.Path, Fields: fields, CreateTime: now, UpdateTime: now}
	if old != nil {
		next.CreateTime = old.CreateTime
	}
	return next, results, nil
}

// mergeFields returns the fields after the update, before the transforms.
func (w Write) mergeFields(old *document.Document) map[string]*pb.Value {
	if w.mask == nil {
		if len(w.transforms) == 0 {
			return w.fields
		}
		return (&document.Document{Fields: w.fields}).CloneFields()
	}
	fields := old.CloneFields()
	for _, p := range w.mask {
		if v := field.Get(w.fields, p); v != nil {
			field.Set(fields, p, proto.CloneOf(v))
		} else {
			field.Delete(fields, p)
		}
	}
	return fields
}

func equalFields(a, b map[string]*pb.Value) bool {
	return maps.EqualFunc(a, b, func(x, y *pb.Value) bool { return proto.Equal(x, y) })
}
