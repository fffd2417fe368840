package history

import (
	"maps"
	"reflect"
	"testing"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func stringValue(s string) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_StringValue{StringValue: s}}
}

func intValue(n int64) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_IntegerValue{IntegerValue: n}}
}

func timeValue(t time.Time) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_TimestampValue{TimestampValue: timestamppb.New(t)}}
}

func nullValue() *pb.Value { return &pb.Value{ValueType: &pb.Value_NullValue{}} }

func mapValue(fields map[string]*pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: fields}}}
}

func arrayValue(values ...*pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_ArrayValue{ArrayValue: &pb.ArrayValue{Values: values}}}
}

// messageDocument returns a stored message with some fields changed; nil removes one.
func messageDocument(change map[string]*pb.Value) *pb.Document {
	fields := map[string]*pb.Value{
		"turn": intValue(2), "role": stringValue("assistant"), "text": stringValue("hello"),
		"executionId": stringValue(turn2), "createdAt": timeValue(epoch),
	}
	maps.Copy(fields, change)
	maps.DeleteFunc(fields, func(_ string, v *pb.Value) bool { return v == nil })
	return &pb.Document{
		Name:       "projects/p/databases/(default)/documents/tenants/ada/conversations/con_1/messages/2-assistant",
		UpdateTime: timestamppb.New(epoch),
		Fields:     fields,
	}
}

func mustDecode(t *testing.T, d *pb.Document) Version {
	t.Helper()
	v, err := decode(d)
	require.NoError(t, err)
	return v
}

func TestDecodeMessage(t *testing.T) {
	t.Parallel()
	v := mustDecode(t, messageDocument(nil))
	require.Equal(t, "tenants/ada/conversations/con_1/messages/2-assistant", v.Path)
	require.True(t, v.At.Equal(epoch))
	require.Equal(t, 2, v.Message.Turn)
	require.EqualValues(t, "assistant", v.Message.Role)
	require.Equal(t, "hello", v.Message.Text)
	require.Equal(t, turn2, v.Message.ExecutionID)
	require.True(t, v.Message.CreatedAt.Equal(epoch))
}

// A renamed field must never read as a zero.
func TestDecodeRejectsDocumentThatDoesNotMatchItsType(t *testing.T) {
	t.Parallel()
	elsewhere := messageDocument(nil)
	elsewhere.Name = "projects/p/databases/(default)/documents/tenants/ada/agents/agt_1"
	for name, tc := range map[string]struct {
		document *pb.Document
		err      string
	}{
		"a missing field":          {messageDocument(map[string]*pb.Value{"executionId": nil}), "executionId is missing"},
		"an unknown field":         {messageDocument(map[string]*pb.Value{"execution": stringValue(turn2)}), "execution is not a field"},
		"a renamed field":          {messageDocument(map[string]*pb.Value{"turn": nil, "number": intValue(2)}), "number is not a field"},
		"another type":             {messageDocument(map[string]*pb.Value{"turn": stringValue("2")}), "turn: "},
		"null":                     {messageDocument(map[string]*pb.Value{"text": nullValue()}), "text: "},
		"a field missing in a map": {messageDocument(map[string]*pb.Value{"error": mapValue(map[string]*pb.Value{"code": stringValue("x")})}), "error: message is missing"},
		"an unknown collection":    {elsewhere, `unknown collection "agents"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := decode(tc.document)
			require.ErrorContains(t, err, tc.err)
		})
	}
}

func TestDecodeStructReadsAllTypes(t *testing.T) {
	t.Parallel()
	type Inner struct {
		Name string `firestore:"name"`
	}
	type Embedded struct {
		Timeout time.Duration `firestore:"timeout"`
	}
	type document struct {
		Embedded
		Done     bool       `firestore:"done"`
		Cost     float64    `firestore:"cost"`
		Data     []byte     `firestore:"data"`
		Names    []string   `firestore:"names"`
		None     []string   `firestore:"none"`
		Inner    Inner      `firestore:"inner"`
		Pointer  *Inner     `firestore:"pointer"`
		List     []Inner    `firestore:"list"`
		At       *time.Time `firestore:"at"`
		Never    *time.Time `firestore:"never"`
		Optional int        `firestore:"optional,omitempty"`
		Zero     Inner      `firestore:"zero,omitzero"`
		Ignored  int        `firestore:"-"`
	}
	inner := mapValue(map[string]*pb.Value{"name": stringValue("a")})
	var got document
	require.NoError(t, decodeStruct(map[string]*pb.Value{
		"timeout": intValue(int64(time.Second)),
		"done":    {ValueType: &pb.Value_BooleanValue{BooleanValue: true}},
		"cost":    {ValueType: &pb.Value_DoubleValue{DoubleValue: 0.5}},
		"data":    {ValueType: &pb.Value_BytesValue{BytesValue: []byte{1}}},
		"names":   arrayValue(stringValue("b"), stringValue("c")),
		"none":    nullValue(),
		"inner":   inner,
		"pointer": inner,
		"list":    arrayValue(inner),
		"at":      timeValue(epoch),
		"never":   nullValue(),
	}, reflect.ValueOf(&got).Elem()))
	require.Equal(t, document{
		Embedded: Embedded{time.Second}, Done: true, Cost: 0.5, Data: []byte{1}, Names: []string{"b", "c"},
		Inner: Inner{"a"}, Pointer: &Inner{"a"}, List: []Inner{{"a"}}, At: &epoch,
	}, got)
}

func TestContentDiffersByVersion(t *testing.T) {
	t.Parallel()
	a, b := messageDocument(nil), messageDocument(nil)
	require.Equal(t, mustDecode(t, a).Content, mustDecode(t, b).Content)
	b.Fields["text"] = stringValue("other")
	require.NotEqual(t, mustDecode(t, a).Content, mustDecode(t, b).Content)
}

// A stream that is opened again repeats the newest versions.
func TestVersionIsRecordedOnce(t *testing.T) {
	t.Parallel()
	var r Recorder
	for range 2 {
		r.recordDocument(messageDocument(nil))
	}
	require.Len(t, r.History().Versions, 1)
	later := messageDocument(nil)
	later.UpdateTime = timestamppb.New(at(1))
	r.recordDocument(later)
	r.recordVersion(Version{Path: documentPath(later.Name), At: at(2)})
	require.Len(t, r.History().Versions, 3)
	require.Empty(t, r.History().Undecodable)
}

func TestUndecodableDocumentIsViolation(t *testing.T) {
	t.Parallel()
	var r Recorder
	r.recordDocument(messageDocument(map[string]*pb.Value{"role": nil}))
	violations := Check(r.History())
	require.Len(t, violations, 1)
	require.Equal(t, ruleDecodable, violations[0].Rule)
	require.Contains(t, violations[0].Detail, "role is missing")
}
