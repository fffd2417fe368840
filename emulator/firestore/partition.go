package firestore

import (
	"context"
	"strconv"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/value"
)

// PartitionQuery cuts a collection group into about equal parts, for workers that read it side by side.
func (s *Server) PartitionQuery(ctx context.Context, r *pb.PartitionQueryRequest) (*pb.PartitionQueryResponse, error) {
	if r.GetPartitionCount() <= 0 {
		return nil, status.Error(codes.InvalidArgument, "partition_count must be positive.")
	}
	size, err := pageSize(r.GetPageSize())
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
	e, err := s.newReader(ctx, q.Database, consistencySelector{readTime: r.GetReadTime()})
	if err != nil {
		return nil, err
	}
	defer e.close()
	var paths []name.Path
	err = e.runQuery(ctx, q, func(d *document.Document) error {
		paths = append(paths, d.Path)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return partitionPage(q.Database, paths, int(r.GetPartitionCount()), size, r.GetPageToken())
}

// cut returns a page of the points between equal parts. The page token is the number of points already sent.
func partitionPage(db name.Database, paths []name.Path, points, size int, token string) (*pb.PartitionQueryResponse, error) {
	sent := 0
	if token != "" {
		var err error
		if sent, err = strconv.Atoi(token); err != nil || sent < 0 {
			return nil, errPageToken
		}
	}
	points = min(points, len(paths)-1)
	out := &pb.PartitionQueryResponse{}
	for i := sent + 1; i <= points; i++ {
		if len(out.Partitions) == size {
			out.NextPageToken = strconv.Itoa(i - 1)
			break
		}
		split := paths[i*len(paths)/(points+1)]
		out.Partitions = append(out.Partitions, &pb.Cursor{Values: []*pb.Value{value.Reference(split.ResourceName(db))}, Before: true})
	}
	return out, nil
}
