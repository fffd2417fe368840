package firestore

import (
	"context"
	"crypto/rand"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/firestore/write"
)

// maxBatchWrites is the documented limit of writes in a BatchWrite. A Commit is limited only by the size of a request.
const maxBatchWrites = 500

func parseWrites(db name.Database, list []*pb.Write) ([]write.Write, error) {
	out := make([]write.Write, 0, len(list))
	for _, w := range list {
		parsed, err := write.Parse(db, w)
		if err != nil {
			return nil, err
		}
		out = append(out, parsed)
	}
	return out, nil
}

func writeResults(list []store.WriteResult) []*pb.WriteResult {
	out := make([]*pb.WriteResult, 0, len(list))
	for _, r := range list {
		w := &pb.WriteResult{TransformResults: r.Transforms}
		if r.Update != 0 {
			w.UpdateTime = r.Update.Proto()
		}
		out = append(out, w)
	}
	return out
}

// BatchWrite applies each write on its own: a failed write does not affect the others, and their order is undefined.
func (s *Server) BatchWrite(ctx context.Context, r *pb.BatchWriteRequest) (*pb.BatchWriteResponse, error) {
	db, err := name.ParseDatabase(r.GetDatabase())
	if err != nil {
		return nil, err
	}
	if len(r.GetWrites()) > maxBatchWrites {
		return nil, grpcstatus.Errorf(codes.InvalidArgument, "A batch holds at most %d writes.", maxBatchWrites)
	}
	if err := checkDistinct(r.GetWrites()); err != nil {
		return nil, err
	}
	pending := make([]*store.PendingCommit, len(r.GetWrites()))
	out := &pb.BatchWriteResponse{}
	for i, w := range r.GetWrites() {
		var err error
		pending[i], err = s.commitAsync(db, w)
		out.Status = append(out.Status, grpcstatus.Convert(s.calls.Status("BatchWrite", err)).Proto())
		out.WriteResults = append(out.WriteResults, &pb.WriteResult{})
	}
	for i, p := range pending { // only now, so that all writes share an fsync
		if p == nil {
			continue
		}
		if err := p.Wait(ctx); err != nil {
			return nil, err
		}
		out.WriteResults[i] = writeResults(p.Writes)[0]
	}
	return out, nil
}

// checkDistinct refuses a batch that writes a document twice: its writes have no order.
func checkDistinct(list []*pb.Write) error {
	seen := map[string]bool{}
	for _, w := range list {
		target := w.GetUpdate().GetName() + w.GetDelete() + w.GetTransform().GetDocument() // one of them
		if target != "" && seen[target] {
			return grpcstatus.Errorf(codes.InvalidArgument, "Document %q is written twice in one batch.", target)
		}
		seen[target] = true
	}
	return nil
}

func (s *Server) commitAsync(db name.Database, w *pb.Write) (*store.PendingCommit, error) {
	parsed, err := write.Parse(db, w)
	if err != nil {
		return nil, err
	}
	return s.commitOne(db, parsed)
}

func (s *Server) commitOne(db name.Database, w write.Write) (*store.PendingCommit, error) {
	writes := []write.Write{w}
	pending, err := s.store.CommitAsync(db, writes, nil)
	if err == nil {
		s.bill(writes)
	}
	return pending, err
}

// CreateDocument creates a document that must not exist. It chooses a random ID if the request has none.
func (s *Server) CreateDocument(ctx context.Context, r *pb.CreateDocumentRequest) (*pb.Document, error) {
	db, parent, err := name.ParseParent(r.GetParent())
	if err != nil {
		return nil, err
	}
	id := r.GetDocumentId()
	if id == "" {
		id = rand.Text()[:20]
	}
	for _, part := range []string{r.GetCollectionId(), id} {
		if err := name.CheckID(part); err != nil {
			return nil, err
		}
	}
	target := &pb.Document{Name: parent.Child(r.GetCollectionId(), id).ResourceName(db), Fields: r.GetDocument().GetFields()}
	return s.writeOne(ctx, db, r.GetMask(), &pb.Write{
		Operation:       &pb.Write_Update{Update: target},
		CurrentDocument: &pb.Precondition{ConditionType: &pb.Precondition_Exists{Exists: false}},
	})
}

// UpdateDocument replaces a document, or the fields of the mask. It creates a missing document.
func (s *Server) UpdateDocument(ctx context.Context, r *pb.UpdateDocumentRequest) (*pb.Document, error) {
	db, _, err := name.ParseDocument(r.GetDocument().GetName())
	if err != nil {
		return nil, err
	}
	return s.writeOne(ctx, db, r.GetMask(), &pb.Write{
		Operation:       &pb.Write_Update{Update: r.GetDocument()},
		UpdateMask:      r.GetUpdateMask(),
		CurrentDocument: r.GetCurrentDocument(),
	})
}

// DeleteDocument deletes a document. A missing document is not an error.
func (s *Server) DeleteDocument(ctx context.Context, r *pb.DeleteDocumentRequest) (*emptypb.Empty, error) {
	db, _, err := name.ParseDocument(r.GetName())
	if err != nil {
		return nil, err
	}
	_, err = s.writeOne(ctx, db, nil, &pb.Write{
		Operation:       &pb.Write_Delete{Delete: r.GetName()},
		CurrentDocument: r.GetCurrentDocument(),
	})
	if err != nil {
		return nil, err
	}
	return &emptypb.Empty{}, nil
}

// writeOne applies one write and returns the new version of the document; nil after a delete.
func (s *Server) writeOne(ctx context.Context, db name.Database, responseMask *pb.DocumentMask, w *pb.Write) (*pb.Document, error) {
	mask, err := field.ParseMask(responseMask)
	if err != nil {
		return nil, err
	}
	pending, err := s.commitAsync(db, w)
	if err != nil {
		return nil, err
	}
	if err := pending.Wait(ctx); err != nil {
		return nil, err
	}
	d := pending.Last
	if d == nil {
		return nil, nil
	}
	out := d.Proto(db)
	out.Fields = field.Project(out.Fields, mask)
	return out, nil
}
