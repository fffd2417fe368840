package history

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// collectionGroups are the collections whose documents are recorded.
var collectionGroups = []string{"executions", "conversations", "messages", "batches"}

// documentPath returns the path of a document below the database.
func documentPath(name string) string {
	_, path, _ := strings.Cut(name, "/documents/")
	return path
}

// decode reads a document into the domain type of its collection.
func decode(d *pb.Document) (Version, error) {
	v := Version{Path: documentPath(d.Name), At: d.UpdateTime.AsTime(), Content: fingerprint(d)}
	segments := strings.Split(v.Path, "/")
	var target any
	switch group := segments[max(0, len(segments)-2)]; group {
	case "executions":
		v.Execution = new(execution.Execution)
		target = v.Execution
	case "conversations":
		v.Conversation = new(conversation.Conversation)
		target = v.Conversation
	case "messages":
		v.Message = new(conversation.Message)
		target = v.Message
	case "batches":
		v.Batch = new(batch.Batch)
		target = v.Batch
	default:
		return Version{}, fmt.Errorf("unknown collection %q", group)
	}
	if err := decodeStruct(d.Fields, reflect.ValueOf(target).Elem()); err != nil {
		return Version{}, err
	}
	return v, nil
}

// fingerprint leaves out the note that the usage of an execution is to be counted. The process that counts it later,
// when the first one has died, removes the note. No client sees it.
func fingerprint(d *pb.Document) string {
	fields := maps.Clone(d.Fields)
	delete(fields, "usageBundle")
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&pb.Document{Fields: fields})
	if err != nil {
		panic(err) // the document has just been unmarshalled
	}
	sum := sha256.Sum256(data)
	return string(sum[:])
}

// decodeStruct reads fields by the firestore tags of a struct, which the store writes by. Google's client decodes only
// its own snapshots. Unlike it, decodeStruct is strict: a field without omitempty must be present, and every field must
// have a tag. A wrong name can therefore not pass as a zero.
func decodeStruct(fields map[string]*pb.Value, v reflect.Value) error {
	known := map[string]bool{}
	var errs []error
	for field, target := range taggedFields(v) {
		known[field.name] = true
		value, ok := fields[field.name]
		if !ok {
			if !field.optional {
				errs = append(errs, fmt.Errorf("%s is missing", field.name))
			}
			continue
		}
		if err := decodeValue(value, target); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", field.name, err))
		}
	}
	for name := range fields {
		if !known[name] {
			errs = append(errs, fmt.Errorf("%s is not a field of %s", name, v.Type()))
		}
	}
	return errors.Join(errs...)
}

type taggedField struct {
	name     string
	optional bool // absent in a document for the zero value
}

// taggedFields yields the stored fields of a struct, those of embedded structs included.
func taggedFields(v reflect.Value) func(yield func(taggedField, reflect.Value) bool) {
	return func(yield func(taggedField, reflect.Value) bool) {
		for _, f := range reflect.VisibleFields(v.Type()) {
			name, options, _ := strings.Cut(f.Tag.Get("firestore"), ",")
			if f.Anonymous || name == "-" {
				continue
			}
			if !yield(taggedField{name, strings.Contains(options, "omit")}, v.FieldByIndex(f.Index)) {
				return
			}
		}
	}
}

func decodeValue(value *pb.Value, v reflect.Value) error {
	if v.Kind() == reflect.Pointer {
		if _, null := value.ValueType.(*pb.Value_NullValue); null {
			return nil
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch kind := value.ValueType.(type) {
	case *pb.Value_NullValue:
		if v.Kind() == reflect.Slice {
			return nil // an empty list
		}
	case *pb.Value_BooleanValue:
		if v.Kind() == reflect.Bool {
			v.SetBool(kind.BooleanValue)
			return nil
		}
	case *pb.Value_IntegerValue:
		if v.CanInt() {
			v.SetInt(kind.IntegerValue)
			return nil
		}
	case *pb.Value_DoubleValue:
		if v.CanFloat() {
			v.SetFloat(kind.DoubleValue)
			return nil
		}
	case *pb.Value_StringValue:
		if v.Kind() == reflect.String {
			v.SetString(kind.StringValue)
			return nil
		}
	case *pb.Value_BytesValue:
		if v.Type() == reflect.TypeFor[[]byte]() {
			v.SetBytes(kind.BytesValue)
			return nil
		}
	case *pb.Value_TimestampValue:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(kind.TimestampValue.AsTime()))
			return nil
		}
	case *pb.Value_ArrayValue:
		if v.Kind() == reflect.Slice {
			return decodeSlice(kind.ArrayValue.GetValues(), v)
		}
	case *pb.Value_MapValue:
		if v.Kind() == reflect.Struct {
			return decodeStruct(kind.MapValue.GetFields(), v)
		}
	}
	return fmt.Errorf("%T does not fit %s", value.ValueType, v.Type())
}

func decodeSlice(values []*pb.Value, v reflect.Value) error {
	v.Set(reflect.MakeSlice(v.Type(), len(values), len(values)))
	for i, value := range values {
		if err := decodeValue(value, v.Index(i)); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}
