package firestore

import (
	"context"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/meter"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
	"github.com/airlock-run/airlock/emulator/internal/paging"
)

// PartitionQuery divides a collection group into parts of about equal size, for workers that read it in parallel.
func (s *Server) PartitionQuery(ctx context.Context, r *pb.PartitionQueryRequest) (*pb.PartitionQueryResponse, error) {
	if r.GetPartitionCount() <= 0 {
		return nil, status.Error(codes.InvalidArgument, "partition_count must be positive.")
	}
	size, err := paging.Size(r.GetPageSize(), maxPageSize)
	if err != nil {
		return nil, err
	}
	q, err := s.parseQuery(r.GetParent(), r.GetStructuredQuery())
	if err != nil {
		return nil, err
	}
	if !q.Descendants || q.Filter != nil || len(q.Order) != 1 || q.Order[0].Desc || q.Limit+q.Offset > 0 || q.Start != nil || q.End != nil {
		return nil, status.Error(codes.InvalidArgument, "Only a query of all descendants, ordered by __name__ ascending and with nothing else, can be partitioned.")
	}
	rd, err := s.newReader(ctx, q.Database, consistencySelector{readTime: r.GetReadTime()})
	if err != nil {
		return nil, err
	}
	defer rd.close()
	var paths []name.Path
	err = rd.runQuery(ctx, q, func(d *document.Document) error {
		paths = append(paths, d.Path)
		return nil
	})
	if err != nil {
		return nil, err
	}
	rd.meter.AddReads(meter.List, q.Collection, 1)
	points, next, err := paging.Page(splitPoints(paths, int(r.GetPartitionCount())), pathKey, size, r.GetPageToken())
	if err != nil {
		return nil, err
	}
	out := &pb.PartitionQueryResponse{NextPageToken: next}
	for _, p := range points {
		out.Partitions = append(out.Partitions, &pb.Cursor{Values: []*pb.Value{value.Reference(p.ResourceName(q.Database))}, Before: true})
	}
	return out, nil
}

// splitPoints returns the first path of every part but the first. There are n of them, or fewer if there are not
// enough paths.
func splitPoints(paths []name.Path, n int) []name.Path {
	n = min(n, len(paths)-1)
	var out []name.Path
	for i := 1; i <= n; i++ {
		out = append(out, paths[i*len(paths)/(n+1)])
	}
	return out
}
