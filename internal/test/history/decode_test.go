package history

import (
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func document() *pb.Document {
	number := func(n int64) *pb.Value { return &pb.Value{ValueType: &pb.Value_IntegerValue{IntegerValue: n}} }
	return &pb.Document{
		Name:       "projects/p/databases/(default)/documents/tenants/ada/batches/bat_1",
		UpdateTime: timestamppb.New(epoch),
		Fields: map[string]*pb.Value{
			"id":              {ValueType: &pb.Value_StringValue{StringValue: "bat_1"}},
			"total":           number(7),
			"nextInput":       number(3),
			"window":          number(5),
			"cancelRequested": {ValueType: &pb.Value_BooleanValue{BooleanValue: true}},
			"due":             {ValueType: &pb.Value_TimestampValue{TimestampValue: timestamppb.New(epoch)}},
			"finishedAt":      {ValueType: &pb.Value_NullValue{}},
		},
	}
}

func TestDecodeBatch(t *testing.T) {
	t.Parallel()
	v := decode(document())
	require.Equal(t, "tenants/ada/batches/bat_1", v.Path)
	require.True(t, v.At.Equal(epoch))
	require.Equal(t, batchID, v.Batch.ID)
	require.Equal(t, []int{7, 3, 5}, []int{v.Batch.Total, v.Batch.NextInput, v.Batch.Window})
	require.True(t, v.Batch.CancelRequested)
	require.True(t, v.Batch.Due.Equal(epoch))
	require.Nil(t, v.Batch.FinishedAt)
}

func TestContentDiffersByVersion(t *testing.T) {
	t.Parallel()
	a, b := document(), document()
	require.Equal(t, decode(a).Content, decode(b).Content)
	b.Fields["more"] = &pb.Value{ValueType: &pb.Value_BooleanValue{}}
	require.NotEqual(t, decode(a).Content, decode(b).Content)
}

// A watch that begins anew hears everything once more.
func TestVersionIsRecordedOnce(t *testing.T) {
	t.Parallel()
	var r Recorder
	for range 2 {
		r.recordVersion(decode(document()))
	}
	require.Len(t, r.History().Versions, 1)
	later := document()
	later.UpdateTime = timestamppb.New(at(1))
	r.recordVersion(decode(later))
	r.recordVersion(Version{Path: "tenants/ada/batches/bat_1", At: at(2)})
	require.Len(t, r.History().Versions, 3)
}
