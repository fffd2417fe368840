package firestore

import (
	"context"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// GetDocument returns one document.
func (s *Server) GetDocument(ctx context.Context, r *pb.GetDocumentRequest) (*pb.Document, error) {
	db, p, err := name.ParseDocument(r.GetName())
	if err != nil {
		return nil, err
	}
	mask, err := field.ParseMask(r.GetMask())
	if err != nil {
		return nil, err
	}
	rd, err := s.newReader(ctx, db, consistencySelector{transaction: r.GetTransaction(), readTime: r.GetReadTime()}, p)
	if err != nil {
		return nil, err
	}
	defer rd.close()
	d, err := rd.get(ctx, p)
	if err != nil {
		return nil, err
	}
	if d == nil {
		return nil, status.Errorf(codes.NotFound, "Document %q not found.", r.GetName())
	}
	out := d.Proto(db)
	out.Fields = field.Project(out.Fields, mask)
	return out, nil
}

// BatchGetDocuments streams documents of one snapshot in the requested order, including the missing ones.
func (s *Server) BatchGetDocuments(r *pb.BatchGetDocumentsRequest, stream pb.Firestore_BatchGetDocumentsServer) error {
	ctx := stream.Context()
	db, err := name.ParseDatabase(r.GetDatabase())
	if err != nil {
		return err
	}
	mask, err := field.ParseMask(r.GetMask())
	if err != nil {
		return err
	}
	paths := make([]name.Path, 0, len(r.GetDocuments()))
	for _, full := range r.GetDocuments() {
		in, p, err := name.ParseDocument(full)
		if err != nil {
			return err
		}
		if in != db {
			return status.Errorf(codes.InvalidArgument, "Document %q is not in database %q.", full, db)
		}
		paths = append(paths, p)
	}
	sel := consistencySelector{transaction: r.GetTransaction(), newTransaction: r.GetNewTransaction(), readTime: r.GetReadTime()}
	rd, err := s.newReader(ctx, db, sel, paths...)
	if err != nil {
		return err
	}
	defer rd.close()
	if rd.newTransaction != nil {
		if err := stream.Send(&pb.BatchGetDocumentsResponse{Transaction: rd.newTransaction, ReadTime: rd.Time.Proto()}); err != nil {
			return err
		}
	}
	for i, p := range paths {
		d, err := rd.get(ctx, p)
		if err != nil {
			return err
		}
		out := &pb.BatchGetDocumentsResponse{ReadTime: rd.Time.Proto()}
		if d == nil {
			out.Result = &pb.BatchGetDocumentsResponse_Missing{Missing: r.GetDocuments()[i]}
		} else {
			found := d.Proto(db)
			found.Fields = field.Project(found.Fields, mask)
			out.Result = &pb.BatchGetDocumentsResponse_Found{Found: found}
		}
		if err := stream.Send(out); err != nil {
			return err
		}
	}
	return nil
}
