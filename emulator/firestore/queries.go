package firestore

import (
	"context"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/meter"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
)

// parseQuery parses a query and prepares its indexes. aggregated are the fields that are summed or averaged.
func (s *Server) parseQuery(parent string, structured *pb.StructuredQuery, aggregated ...field.Path) (*query.Query, error) {
	db, p, err := name.ParseParent(parent)
	if err != nil {
		return nil, err
	}
	if len(p)%2 != 0 {
		return nil, status.Errorf(codes.InvalidArgument, "The parent %q of a query is not a document.", parent)
	}
	if structured == nil {
		return nil, status.Error(codes.InvalidArgument, "The request has no query.")
	}
	q, err := query.Parse(db, p, structured)
	if err != nil {
		return nil, err
	}
	return q, s.prepareQuery(q, aggregated)
}

// RunQuery streams the documents that match a query.
func (s *Server) RunQuery(r *pb.RunQueryRequest, stream pb.Firestore_RunQueryServer) error {
	if r.GetExplainOptions() != nil {
		return status.Error(codes.Unimplemented, "explain_options is not supported.")
	}
	q, err := s.parseQuery(r.GetParent(), r.GetStructuredQuery())
	if err != nil {
		return err
	}
	sel := consistencySelector{transaction: r.GetTransaction(), newTransaction: r.GetNewTransaction(), readTime: r.GetReadTime()}
	rd, err := s.newReader(stream.Context(), q.Database, sel)
	if err != nil {
		return err
	}
	defer rd.close()
	return rd.streamResults(stream, q)
}

// streamResults sends the results. If there are none, it sends one message with the read time.
func (rd *reader) streamResults(stream pb.Firestore_RunQueryServer, q *query.Query) error {
	sent := false
	if rd.newTransaction != nil {
		sent = true
		if err := stream.Send(&pb.RunQueryResponse{Transaction: rd.newTransaction, ReadTime: rd.Time.Proto()}); err != nil {
			return err
		}
	}
	n := 0
	defer func() { rd.meter.AddReads(meter.Query, q.Collection, billedResults(q, n)) }()
	err := rd.runQuery(stream.Context(), q, func(d *document.Document) error {
		sent = true
		n++
		return stream.Send(&pb.RunQueryResponse{Document: d.Proto(q.Database), ReadTime: rd.Time.Proto()})
	})
	if err != nil || sent {
		return err
	}
	return stream.Send(&pb.RunQueryResponse{ReadTime: rd.Time.Proto(), SkippedResults: int32(q.Offset)})
}

// billedResults returns the number of reads for a query with n results. Those that the offset has skipped are billed.
func billedResults(q *query.Query, n int) int {
	if n == 0 {
		return 1
	}
	return n + q.Offset
}

// RunAggregationQuery returns counts, sums and averages of the documents that match a query.
func (s *Server) RunAggregationQuery(r *pb.RunAggregationQueryRequest, stream pb.Firestore_RunAggregationQueryServer) error {
	if r.GetExplainOptions() != nil {
		return status.Error(codes.Unimplemented, "explain_options is not supported.")
	}
	structured := r.GetStructuredAggregationQuery()
	aggregates, err := query.ParseAggregations(structured.GetAggregations())
	if err != nil {
		return err
	}
	q, err := s.parseQuery(r.GetParent(), structured.GetStructuredQuery(), aggregates.Fields()...)
	if err != nil {
		return err
	}
	sel := consistencySelector{transaction: r.GetTransaction(), newTransaction: r.GetNewTransaction(), readTime: r.GetReadTime()}
	rd, err := s.newReader(stream.Context(), q.Database, sel)
	if err != nil {
		return err
	}
	defer rd.close()
	result, err := rd.aggregate(stream.Context(), q, aggregates)
	if err != nil {
		return err
	}
	return stream.Send(&pb.RunAggregationQueryResponse{Result: result, Transaction: rd.newTransaction, ReadTime: rd.Time.Proto()})
}

func (rd *reader) aggregate(ctx context.Context, q *query.Query, aggregates query.Aggregations) (*pb.AggregationResult, error) {
	if aggregates.OnlyCount() && !rd.readWrite() {
		if err := rd.WaitDurable(ctx); err != nil {
			return nil, err
		}
		if n, ok, err := rd.Count(q); ok || err != nil {
			rd.meter.AddAggregation(q.Collection, aggregates.Capped(n))
			aggregates.AddCount(n)
			return aggregates.Result(), err
		}
	}
	q = aggregates.LimitQuery(q)
	n := 0
	defer func() { rd.meter.AddAggregation(q.Collection, n) }()
	err := rd.runQuery(ctx, q, func(d *document.Document) error {
		n++
		aggregates.Add(d)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return aggregates.Result(), nil
}
