package firestore

import (
	"context"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// parseQuery reads a query and has the indexes for it built.
func (s *Server) parseQuery(parent string, structured *pb.StructuredQuery) (*query.Query, error) {
	db, p, err := name.ParseParent(parent)
	if err != nil {
		return nil, err
	}
	if len(p)%2 != 0 {
		return nil, status.Errorf(codes.InvalidArgument, "The parent %q of a query is no document.", parent)
	}
	if structured == nil {
		return nil, status.Error(codes.InvalidArgument, "The request has no query.")
	}
	q, err := query.Parse(db, p, structured)
	if err != nil {
		return nil, err
	}
	return q, s.store.EnsureIndexes(q)
}

// RunQuery streams the documents a query matches.
func (s *Server) RunQuery(r *pb.RunQueryRequest, stream pb.Firestore_RunQueryServer) error {
	if r.GetExplainOptions() != nil {
		return status.Error(codes.Unimplemented, "explain_options is not supported.")
	}
	q, err := s.parseQuery(r.GetParent(), r.GetStructuredQuery())
	if err != nil {
		return err
	}
	sel := consistencySelector{transaction: r.GetTransaction(), newTransaction: r.GetNewTransaction(), readTime: r.GetReadTime()}
	e, err := s.newReader(stream.Context(), q.Database, sel)
	if err != nil {
		return err
	}
	defer e.close()
	return e.streamResults(stream, q)
}

// stream sends the results. Where there are none it still sends one message, which says when that was so.
func (e *reader) streamResults(stream pb.Firestore_RunQueryServer, q *query.Query) error {
	sent := false
	if e.newTransaction != nil {
		sent = true
		if err := stream.Send(&pb.RunQueryResponse{Transaction: e.newTransaction, ReadTime: e.Time.Proto()}); err != nil {
			return err
		}
	}
	err := e.runQuery(stream.Context(), q, func(d *document.Document) error {
		sent = true
		return stream.Send(&pb.RunQueryResponse{Document: d.Proto(q.Database), ReadTime: e.Time.Proto()})
	})
	if err != nil || sent {
		return err
	}
	return stream.Send(&pb.RunQueryResponse{ReadTime: e.Time.Proto(), SkippedResults: int32(q.Offset)})
}

// RunAggregationQuery counts, sums and averages what a query matches.
func (s *Server) RunAggregationQuery(r *pb.RunAggregationQueryRequest, stream pb.Firestore_RunAggregationQueryServer) error {
	if r.GetExplainOptions() != nil {
		return status.Error(codes.Unimplemented, "explain_options is not supported.")
	}
	structured := r.GetStructuredAggregationQuery()
	aggregates, err := query.ParseAggregations(structured.GetAggregations())
	if err != nil {
		return err
	}
	q, err := s.parseQuery(r.GetParent(), structured.GetStructuredQuery())
	if err != nil {
		return err
	}
	sel := consistencySelector{transaction: r.GetTransaction(), newTransaction: r.GetNewTransaction(), readTime: r.GetReadTime()}
	e, err := s.newReader(stream.Context(), q.Database, sel)
	if err != nil {
		return err
	}
	defer e.close()
	result, err := e.aggregate(stream.Context(), q, aggregates)
	if err != nil {
		return err
	}
	return stream.Send(&pb.RunAggregationQueryResponse{Result: result, Transaction: e.newTransaction, ReadTime: e.Time.Proto()})
}

func (e *reader) aggregate(ctx context.Context, q *query.Query, aggregates query.Aggregations) (*pb.AggregationResult, error) {
	if aggregates.OnlyCount() && !e.readWrite() {
		if err := e.WaitDurable(ctx); err != nil {
			return nil, err
		}
		if n, ok, err := e.Count(q); ok || err != nil {
			aggregates.AddCount(n)
			return aggregates.Result(), err
		}
	}
	q = aggregates.LimitQuery(q)
	err := e.runQuery(ctx, q, func(d *document.Document) error {
		aggregates.Add(d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return aggregates.Result(), nil
}
