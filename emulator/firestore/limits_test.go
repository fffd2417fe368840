package firestore_test

import (
	"strings"
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/firestore"
)

const (
	database = "projects/p/databases/(default)"
	root     = database + "/documents"
)

func text(s string) *pb.Value { return &pb.Value{ValueType: &pb.Value_StringValue{StringValue: s}} }

func object(k string, v *pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_MapValue{MapValue: &pb.MapValue{Fields: map[string]*pb.Value{k: v}}}}
}

func list(vs ...*pb.Value) *pb.Value {
	return &pb.Value{ValueType: &pb.Value_ArrayValue{ArrayValue: &pb.ArrayValue{Values: vs}}}
}

func nested(levels int) *pb.Value {
	v := text("x")
	for range levels {
		v = object("m", v)
	}
	return v
}

func TestLimitsOfDocuments(t *testing.T) {
	raw := start(t, firestore.Options{}).raw(t)
	for _, tt := range []struct {
		name   string
		doc    string
		fields map[string]*pb.Value
		want   codes.Code
	}{
		{"plain", "/c/d", map[string]*pb.Value{"f": text("x")}, codes.OK},
		{"1 MiB less overhead", "/c/d", map[string]*pb.Value{"f": text(strings.Repeat("x", 1<<20-100))}, codes.OK},
		{"over 1 MiB", "/c/d", map[string]*pb.Value{"f": text(strings.Repeat("x", 1<<20))}, codes.InvalidArgument},
		{"20 levels", "/c/d", map[string]*pb.Value{"f": nested(20)}, codes.OK},
		{"21 levels", "/c/d", map[string]*pb.Value{"f": nested(21)}, codes.InvalidArgument},
		{"array in array", "/c/d", map[string]*pb.Value{"f": list(list(text("x")))}, codes.InvalidArgument},
		{"array in map in array", "/c/d", map[string]*pb.Value{"f": list(object("a", list(text("x"))))}, codes.OK},
		{"value without type", "/c/d", map[string]*pb.Value{"f": {}}, codes.InvalidArgument},
		{"empty field name", "/c/d", map[string]*pb.Value{"": text("x")}, codes.InvalidArgument},
		{"long field name", "/c/d", map[string]*pb.Value{strings.Repeat("f", 1501): text("x")}, codes.InvalidArgument},
		{"reserved field name", "/c/d", map[string]*pb.Value{"__f__": text("x")}, codes.InvalidArgument},
		{"reserved nested name", "/c/d", map[string]*pb.Value{"f": object("__f__", text("x"))}, codes.InvalidArgument},
		{"reserved ID", "/c/__d__", nil, codes.InvalidArgument},
		{"numeric ID", "/c/__id12__", nil, codes.OK},
		{"dot ID", "/c/.", nil, codes.InvalidArgument},
		{"empty ID", "/c//d/e", nil, codes.InvalidArgument},
		{"long ID", "/c/" + strings.Repeat("d", 1501), nil, codes.InvalidArgument},
		{"longest ID", "/c/" + strings.Repeat("d", 1500), nil, codes.OK},
		{"long name", strings.Repeat("/c/"+strings.Repeat("d", 1000), 7), nil, codes.InvalidArgument},
		{"collection", "/c", nil, codes.InvalidArgument},
		{"root", "", nil, codes.InvalidArgument},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &pb.Write{Operation: &pb.Write_Update{Update: &pb.Document{Name: root + tt.doc, Fields: tt.fields}}}
			_, err := raw.Commit(t.Context(), &pb.CommitRequest{Database: database, Writes: []*pb.Write{w}})
			require.Equal(t, tt.want, status.Code(err), "%.200v", err)
		})
	}
}

func TestMalformedRequests(t *testing.T) {
	raw := start(t, firestore.Options{}).raw(t)
	ctx := t.Context()
	query := func(parent string, q *pb.StructuredQuery) error {
		stream, err := raw.RunQuery(ctx, &pb.RunQueryRequest{Parent: parent, QueryType: &pb.RunQueryRequest_StructuredQuery{StructuredQuery: q}})
		require.NoError(t, err)
		_, err = stream.Recv()
		return err
	}
	from := []*pb.StructuredQuery_CollectionSelector{{CollectionId: "c"}}
	for _, tt := range []struct {
		name string
		do   func() error
		want codes.Code
	}{
		{"no database", func() error { _, err := raw.BeginTransaction(ctx, &pb.BeginTransactionRequest{}); return err }, codes.InvalidArgument},
		{"malformed database", func() error {
			_, err := raw.Commit(ctx, &pb.CommitRequest{Database: "projects/p"})
			return err
		}, codes.InvalidArgument},
		{"malformed document", func() error {
			_, err := raw.GetDocument(ctx, &pb.GetDocumentRequest{Name: "c/d"})
			return err
		}, codes.InvalidArgument},
		{"missing document", func() error {
			_, err := raw.GetDocument(ctx, &pb.GetDocumentRequest{Name: root + "/c/none"})
			return err
		}, codes.NotFound},
		{"document of another database", func() error {
			w := &pb.Write{Operation: &pb.Write_Delete{Delete: "projects/q/databases/d/documents/c/d"}}
			_, err := raw.Commit(ctx, &pb.CommitRequest{Database: database, Writes: []*pb.Write{w}})
			return err
		}, codes.InvalidArgument},
		{"write without operation", func() error {
			_, err := raw.Commit(ctx, &pb.CommitRequest{Database: database, Writes: []*pb.Write{{}}})
			return err
		}, codes.InvalidArgument},
		{"malformed mask", func() error {
			_, err := raw.GetDocument(ctx, &pb.GetDocumentRequest{Name: root + "/c/d", Mask: &pb.DocumentMask{FieldPaths: []string{"a..b"}}})
			return err
		}, codes.InvalidArgument},
		{"unknown transaction", func() error {
			_, err := raw.Commit(ctx, &pb.CommitRequest{Database: database, Transaction: []byte("none")})
			return err
		}, codes.InvalidArgument},
		{"rollback of an ended transaction", func() error {
			_, err := raw.Rollback(ctx, &pb.RollbackRequest{Database: database, Transaction: []byte("none")})
			return err
		}, codes.OK},
		{"batch that writes a document twice", func() error {
			w := &pb.Write{Operation: &pb.Write_Delete{Delete: root + "/c/d"}}
			_, err := raw.BatchWrite(ctx, &pb.BatchWriteRequest{Database: database, Writes: []*pb.Write{w, w}})
			return err
		}, codes.InvalidArgument},
		{"query below a collection", func() error { return query(root+"/c", &pb.StructuredQuery{From: from}) }, codes.InvalidArgument},
		{"query of two collections", func() error { return query(root, &pb.StructuredQuery{From: append(from, from...)}) }, codes.InvalidArgument},
		{"negative offset", func() error { return query(root, &pb.StructuredQuery{From: from, Offset: -1}) }, codes.InvalidArgument},
		{"vector search", func() error {
			return query(root, &pb.StructuredQuery{From: from, FindNearest: &pb.StructuredQuery_FindNearest{}})
		}, codes.Unimplemented},
		{"pipeline", func() error {
			stream, err := raw.ExecutePipeline(ctx, &pb.ExecutePipelineRequest{Database: database})
			require.NoError(t, err)
			_, err = stream.Recv()
			return err
		}, codes.Unimplemented},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.do()
			require.Equal(t, tt.want, status.Code(err), "%v", err)
		})
	}
}
