package query_test

import (
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// FuzzQuery checks that no query causes a panic, and that every valid query has a plan.
func FuzzQuery(f *testing.F) {
	at := value.Reference("projects/p/databases/d/documents/c/d")
	for _, q := range []*pb.StructuredQuery{
		fromCollection(&pb.StructuredQuery{Where: all(term("a", query.In, value.Array([]*pb.Value{value.Int(1), value.NaN})), term("b", query.Less, value.Int(2)))}),
		fromCollection(&pb.StructuredQuery{Where: term("__name__", query.Greater, at), OrderBy: []*pb.StructuredQuery_Order{order("__name__", desc)}, StartAt: &pb.Cursor{Values: []*pb.Value{at}}}),
		fromCollection(&pb.StructuredQuery{Where: term("a", query.NotIn, value.Array([]*pb.Value{{}})), OrderBy: []*pb.StructuredQuery_Order{order("a", asc)}, EndAt: &pb.Cursor{Values: []*pb.Value{value.Null}}}),
	} {
		b, err := proto.Marshal(q)
		require.NoError(f, err)
		f.Add(b)
	}
	d := &document.Document{Path: name.Path{"c", "d"}, Fields: map[string]*pb.Value{"a": value.Int(1), "b": value.Array([]*pb.Value{value.Int(1)})}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s pb.StructuredQuery
		if proto.Unmarshal(b, &s) != nil {
			return
		}
		q, err := query.Parse(database, nil, &s)
		if err != nil {
			require.Contains(t, []codes.Code{codes.InvalidArgument, codes.Unimplemented}, status.Code(err), "%v", err)
			return
		}
		require.NotEmpty(t, q.Plan())
		if q.Matches(d) {
			require.Zero(t, q.Compare(d, d))
			q.BeforeStart(d)
			q.AfterEnd(d)
			q.Project(d)
		}
	})
}
