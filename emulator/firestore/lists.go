package firestore

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// maxPage is the size of a page where the request names none, or a larger one.
const maxPageSize = 300

var errPageToken = status.Error(codes.InvalidArgument, "The page_token is not one of this server's.")

func pageSize(requested int32) (int, error) {
	switch {
	case requested < 0:
		return 0, status.Error(codes.InvalidArgument, "page_size must not be negative.")
	case requested == 0 || requested > maxPageSize:
		return maxPageSize, nil
	}
	return int(requested), nil
}

// ListDocuments pages through a collection.
func (s *Server) ListDocuments(ctx context.Context, r *pb.ListDocumentsRequest) (*pb.ListDocumentsResponse, error) {
	size, err := pageSize(r.GetPageSize())
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
	e, err := s.newReader(ctx, q.Database, consistencySelector{transaction: r.GetTransaction(), readTime: r.GetReadTime()})
	if err != nil {
		return nil, err
	}
	defer e.close()
	if r.GetShowMissing() {
		return e.listWithMissing(ctx, q, r, size, mask)
	}
	out := &pb.ListDocumentsResponse{}
	var last *document.Document
	err = e.runQuery(ctx, q, func(d *document.Document) error {
		last = d
		doc := d.Proto(q.Database)
		doc.Fields = field.Project(doc.Fields, mask)
		out.Documents = append(out.Documents, doc)
		return nil
	})
	if len(out.Documents) == size {
		out.NextPageToken = pageToken(q, last)
	}
	return out, err
}

// parseList makes a query of the request; a page token is its start cursor.
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
			return nil, errPageToken
		}
	}
	q, err := s.parseQuery(r.GetParent(), structured)
	if err == nil { // without a collection ID it is about all collections right below the parent
		q.Descendants = false
	}
	return q, err
}

// pageToken is a cursor just behind a document.
func pageToken(q *query.Query, d *document.Document) string {
	raw, err := proto.Marshal(q.CursorAfter(d))
	if err != nil {
		panic(err) // values that came from a message go back into one
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

// listAll also lists the documents that are not there but have documents below them. Its page token is the last ID.
func (e *reader) listWithMissing(ctx context.Context, q *query.Query, r *pb.ListDocumentsRequest, size int, mask []field.Path) (*pb.ListDocumentsResponse, error) {
	if e.readWrite() {
		e.tx.RecordQuery(q, e.Time, nil)
	}
	paths, err := e.childDocuments(q)
	if err != nil {
		return nil, err
	}
	paths, next, err := paginate(paths, r.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	out := &pb.ListDocumentsResponse{NextPageToken: next}
	for _, childPath := range paths {
		p := q.Parent.Child(childPath...)
		d, err := e.get(ctx, p)
		if err != nil {
			return nil, err
		}
		doc := &pb.Document{Name: p.ResourceName(q.Database)}
		if d != nil {
			doc = d.Proto(q.Database)
			doc.Fields = field.Project(doc.Fields, mask)
		}
		out.Documents = append(out.Documents, doc)
	}
	return out, nil
}

// children lists the documents a query without filters is about, missing ones included, relative to its parent.
func (e *reader) childDocuments(q *query.Query) ([]name.Path, error) {
	collections := []string{q.Collection}
	if q.Collection == "" {
		var err error
		if collections, err = e.Children(q.Database, q.Parent); err != nil {
			return nil, err
		}
	}
	var out []name.Path
	for _, c := range collections {
		ids, err := e.Children(q.Database, q.Parent.Child(c))
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			out = append(out, name.Path{c, id})
		}
	}
	return out, nil
}

// page cuts a page out of sorted paths; the token is the last path of the page before.
func paginate(paths []name.Path, token string, size int) (result []name.Path, next string, err error) {
	if token != "" {
		after, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, "", errPageToken
		}
		last := name.Path(strings.Split(string(after), "/"))
		paths = slices.DeleteFunc(paths, func(p name.Path) bool { return name.Compare(p, last) <= 0 })
	}
	if len(paths) <= size {
		return paths, "", nil
	}
	return paths[:size], base64.RawURLEncoding.EncodeToString([]byte(paths[size-1].String())), nil
}

// ListCollectionIds lists the collections right below a document or the root.
func (s *Server) ListCollectionIds(ctx context.Context, r *pb.ListCollectionIdsRequest) (*pb.ListCollectionIdsResponse, error) {
	db, parent, err := name.ParseParent(r.GetParent())
	if err != nil {
		return nil, err
	}
	if len(parent)%2 != 0 {
		return nil, status.Errorf(codes.InvalidArgument, "The parent %q is no document.", r.GetParent())
	}
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	e, err := s.newReader(ctx, db, consistencySelector{readTime: r.GetReadTime()})
	if err != nil {
		return nil, err
	}
	defer e.close()
	if err := e.WaitDurable(ctx); err != nil {
		return nil, err
	}
	ids, err := e.Children(db, parent)
	if err != nil {
		return nil, err
	}
	paths := make([]name.Path, 0, len(ids))
	for _, id := range ids {
		paths = append(paths, name.Path{id})
	}
	paths, next, err := paginate(paths, r.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	out := &pb.ListCollectionIdsResponse{NextPageToken: next}
	for _, p := range paths {
		out.CollectionIds = append(out.CollectionIds, p.ID())
	}
	return out, nil
}
