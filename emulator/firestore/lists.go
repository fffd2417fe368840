package firestore

import (
	"context"
	"encoding/base64"
	"strings"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/meter"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/paging"
)

// maxPageSize is the size of a page if the request sets none or a larger one.
const maxPageSize = 300

// documentList is a checked ListDocumentsRequest.
type documentList struct {
	query     *query.Query // with the page size as its limit
	mask      []field.Path
	pageToken string
}

// ListDocuments returns one page of a collection.
func (s *Server) ListDocuments(ctx context.Context, r *pb.ListDocumentsRequest) (*pb.ListDocumentsResponse, error) {
	size, err := paging.Size(r.GetPageSize(), maxPageSize)
	if err != nil {
		return nil, err
	}
	mask, err := field.ParseMask(r.GetMask())
	if err != nil {
		return nil, err
	}
	q, err := s.parseListQuery(r, size)
	if err != nil {
		return nil, err
	}
	rd, err := s.newReader(ctx, q.Database, consistencySelector{transaction: r.GetTransaction(), readTime: r.GetReadTime()})
	if err != nil {
		return nil, err
	}
	defer rd.close()
	list := documentList{query: q, mask: mask, pageToken: r.GetPageToken()}
	if r.GetShowMissing() {
		return rd.listWithMissing(ctx, list)
	}
	return rd.list(ctx, list)
}

// parseListQuery converts the request to a query. A page token is its start cursor.
func (s *Server) parseListQuery(r *pb.ListDocumentsRequest, size int) (*query.Query, error) {
	structured := &pb.StructuredQuery{Limit: wrapperspb.Int32(int32(size))}
	structured.From = []*pb.StructuredQuery_CollectionSelector{{CollectionId: r.GetCollectionId(), AllDescendants: r.GetCollectionId() == ""}}
	for part := range strings.SplitSeq(r.GetOrderBy(), ",") {
		words := strings.Fields(part)
		switch {
		case len(words) == 0:
			continue
		case len(words) > 2 || len(words) == 2 && words[1] != "asc" && words[1] != "desc":
			return nil, status.Errorf(codes.InvalidArgument, "Invalid order_by %q.", part)
		}
		o := &pb.StructuredQuery_Order{Field: &pb.StructuredQuery_FieldReference{FieldPath: words[0]}}
		if len(words) == 2 && words[1] == "desc" {
			o.Direction = pb.StructuredQuery_DESCENDING
		}
		structured.OrderBy = append(structured.OrderBy, o)
	}
	if r.GetShowMissing() {
		if len(structured.OrderBy) > 0 {
			return nil, status.Error(codes.InvalidArgument, "show_missing cannot be combined with order_by.")
		}
	} else if r.GetPageToken() != "" {
		raw, err := base64.RawURLEncoding.DecodeString(r.GetPageToken())
		structured.StartAt = &pb.Cursor{}
		if err != nil || proto.Unmarshal(raw, structured.StartAt) != nil {
			return nil, paging.ErrToken
		}
	}
	q, err := s.parseQuery(r.GetParent(), structured)
	if err == nil { // without a collection ID the request means all collections directly below the parent
		q.Descendants = false
	}
	return q, err
}

func (rd *reader) list(ctx context.Context, l documentList) (*pb.ListDocumentsResponse, error) {
	out := &pb.ListDocumentsResponse{}
	var last *document.Document
	err := rd.runQuery(ctx, l.query, func(d *document.Document) error {
		last = d
		out.Documents = append(out.Documents, l.proto(d))
		return nil
	})
	rd.meter.AddReads(meter.List, l.query.Collection, max(1, len(out.Documents)))
	if len(out.Documents) == l.query.Limit {
		out.NextPageToken = cursorToken(l.query, last)
	}
	return out, err
}

// cursorToken returns a page token that contains the cursor after a document.
func cursorToken(q *query.Query, d *document.Document) string {
	raw, err := proto.Marshal(q.CursorAfter(d))
	if err != nil {
		panic(err) // the values come from a message, so they can be marshalled
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// listWithMissing also lists missing documents that have documents below them.
func (rd *reader) listWithMissing(ctx context.Context, l documentList) (*pb.ListDocumentsResponse, error) {
	if rd.readWrite() {
		rd.tx.RecordQuery(l.query, nil)
	}
	paths, err := rd.childDocuments(l.query)
	if err != nil {
		return nil, err
	}
	paths, next, err := paging.Page(paths, pathKey, l.query.Limit, l.pageToken)
	if err != nil {
		return nil, err
	}
	out := &pb.ListDocumentsResponse{NextPageToken: next}
	for _, p := range paths {
		d, err := rd.get(ctx, p)
		switch {
		case err != nil:
			return nil, err
		case d == nil:
			out.Documents = append(out.Documents, &pb.Document{Name: p.ResourceName(l.query.Database)})
		default:
			out.Documents = append(out.Documents, l.proto(d))
		}
	}
	return out, nil
}

func (l documentList) proto(d *document.Document) *pb.Document {
	out := d.Proto(l.query.Database)
	out.Fields = field.Project(out.Fields, l.mask)
	return out
}

// childDocuments returns the paths of the documents in the scope of a query without filters, including missing ones.
func (rd *reader) childDocuments(q *query.Query) ([]name.Path, error) {
	collections := []string{q.Collection}
	if q.Collection == "" {
		var err error
		if collections, err = rd.Children(q.Database, q.Parent); err != nil {
			return nil, err
		}
	}
	var out []name.Path
	for _, c := range collections {
		ids, err := rd.Children(q.Database, q.Parent.Child(c))
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			out = append(out, q.Parent.Child(c, id))
		}
	}
	return out, nil
}

// pathKey returns a string that orders as the path does.
func pathKey(p name.Path) string { return string(name.AppendKey(nil, p)) }

// ListCollectionIds returns one page of the collections directly below a document or the root.
func (s *Server) ListCollectionIds(ctx context.Context, r *pb.ListCollectionIdsRequest) (*pb.ListCollectionIdsResponse, error) {
	db, parent, err := name.ParseParent(r.GetParent())
	if err != nil {
		return nil, err
	}
	if len(parent)%2 != 0 {
		return nil, status.Errorf(codes.InvalidArgument, "The parent %q is not a document.", r.GetParent())
	}
	size, err := paging.Size(r.GetPageSize(), maxPageSize)
	if err != nil {
		return nil, err
	}
	rd, err := s.newReader(ctx, db, consistencySelector{readTime: r.GetReadTime()})
	if err != nil {
		return nil, err
	}
	defer rd.close()
	if err := rd.WaitDurable(ctx); err != nil {
		return nil, err
	}
	rd.meter.AddReads(meter.List, "", 1)
	ids, err := rd.Children(db, parent)
	if err != nil {
		return nil, err
	}
	ids, next, err := paging.Page(ids, func(id string) string { return pathKey(name.Path{id}) }, size, r.GetPageToken())
	if err != nil {
		return nil, err
	}
	return &pb.ListCollectionIdsResponse{CollectionIds: ids, NextPageToken: next}, nil
}
