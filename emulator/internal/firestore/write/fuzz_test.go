package write_test

import (
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
	"github.com/airlock-run/airlock/emulator/internal/firestore/write"
)

// FuzzWrite checks that no write causes a panic, and that every stored document can be decoded.
func FuzzWrite(f *testing.F) {
	for _, w := range []*pb.Write{
		update(map[string]*pb.Value{"a": value.Int(1), "m": object("x", text("y"))}, "a", "m.x"),
		{Operation: &pb.Write_Update{Update: &pb.Document{Name: path.ResourceName(database)}}, UpdateTransforms: []*pb.DocumentTransform_FieldTransform{
			{FieldPath: "a.b", TransformType: &pb.DocumentTransform_FieldTransform_Increment{Increment: value.Int(1)}},
			{FieldPath: "l", TransformType: &pb.DocumentTransform_FieldTransform_AppendMissingElements{AppendMissingElements: &pb.ArrayValue{Values: []*pb.Value{{}}}}},
		}},
		{Operation: &pb.Write_Delete{Delete: path.ResourceName(database)}, CurrentDocument: &pb.Precondition{ConditionType: &pb.Precondition_UpdateTime{}}},
	} {
		b, err := proto.Marshal(w)
		require.NoError(f, err)
		f.Add(b)
	}
	old := &document.Document{Path: path, Fields: map[string]*pb.Value{"a": value.Int(1), "m": object("x", value.Int(1))}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var w pb.Write
		if proto.Unmarshal(b, &w) != nil {
			return
		}
		parsed, err := write.Parse(database, &w)
		if err != nil {
			require.Equal(t, codes.InvalidArgument, status.Code(err), "%v", err)
			return
		}
		for _, before := range []*document.Document{nil, old} {
			d, _, err := parsed.Apply(before, 1)
			if err != nil || d == nil {
				continue
			}
			raw, err := d.Encode()
			require.NoError(t, err)
			_, err = document.Decode(d.Path, raw)
			require.NoError(t, err)
		}
	})
}
