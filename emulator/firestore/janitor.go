package firestore

import (
	"context"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/query"
	"github.com/airlock-run/airlock/emulator/internal/firestore/write"
)

const (
	// round is the time between two rounds of the janitor. The cloud promises a day for TTL.
	janitorInterval = time.Minute
	// memory is how far back read_time and resume tokens reach, as in the cloud without point-in-time recovery.
	versionRetention = time.Hour
	// sweep is how many expired documents go in one commit.
	expireBatchSize = 200
)

// tidy deletes what has expired and forgets what is too old, until it is cancelled.
func (s *Server) runJanitor(ctx context.Context) error {
	tick := time.NewTicker(janitorInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.transactions.Expire()
		if _, err := s.DeleteExpired(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("delete expired documents", zap.Error(err))
		}
		if err := s.store.TrimHistory(document.TimeOf(s.now().Add(-versionRetention))); err != nil {
			s.log.Error("trim the history", zap.Error(err))
		}
	}
}

// Expire deletes the documents whose TTL field has passed, at once rather than in the next round, and returns how many.
func (s *Server) DeleteExpired(ctx context.Context) (int, error) {
	if err := s.calls.begin(); err != nil {
		return 0, err
	}
	defer s.calls.wg.Done()
	databases, err := s.store.Databases()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, db := range databases {
		for collection, path := range s.ttlFields {
			for {
				n, err := s.deleteExpiredBatch(ctx, db, collection, path)
				total += n
				if err != nil {
					return total, err
				}
				if n < expireBatchSize {
					break
				}
			}
		}
	}
	return total, nil
}

// expire deletes the next few documents of a collection group.
func (s *Server) deleteExpiredBatch(ctx context.Context, db name.Database, collection string, path field.Path) (int, error) {
	q := &query.Query{
		Database:    db,
		Collection:  collection,
		Descendants: true,
		Filter: query.FieldFilter{Path: path, Op: query.LessOrEqual, Value: &pb.Value{
			ValueType: &pb.Value_TimestampValue{TimestampValue: document.TimeOf(s.now()).Proto()},
		}},
		Order: []query.Order{{Path: path}, {Path: field.Path{field.DocumentID}}},
		Limit: expireBatchSize,
	}
	if err := s.store.EnsureIndexes(q); err != nil {
		return 0, err
	}
	sn := s.store.Snapshot()
	defer sn.Close()
	n := 0
	for d, err := range sn.RunQuery(q) {
		if err != nil {
			return n, err
		}
		// A document written meanwhile may have a new time to live: it is looked at again in the next round.
		w, err := write.Parse(db, &pb.Write{
			Operation:       &pb.Write_Delete{Delete: d.Path.ResourceName(db)},
			CurrentDocument: &pb.Precondition{ConditionType: &pb.Precondition_UpdateTime{UpdateTime: d.UpdateTime.Proto()}},
		})
		if err != nil {
			return n, err
		}
		_, err = s.store.CommitAsync(db, []write.Write{w}, nil)
		if err != nil && status.Code(err) != codes.FailedPrecondition {
			return n, err
		}
		n++
	}
	return n, ctx.Err()
}
