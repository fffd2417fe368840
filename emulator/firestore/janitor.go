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
	// janitorInterval is the time between two runs of the janitor. The cloud deletes expired documents within a day.
	janitorInterval = time.Minute
	// versionRetention is the maximum age of a read_time or resume token, as in the cloud without point-in-time recovery.
	versionRetention = time.Hour
	// expireBatchSize is the number of expired documents that one query returns.
	expireBatchSize = 200
)

// runJanitor ends idle transactions, deletes expired documents and trims the history, until ctx ends.
func (s *Server) runJanitor(ctx context.Context) error {
	tick := time.NewTicker(janitorInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		s.clean(ctx)
	}
}

// clean is one run of the janitor. A step that fails or panics does not keep the others from running.
func (s *Server) clean(ctx context.Context) {
	for name, step := range map[string]func() error{
		"end idle transactions": func() error {
			s.transactions.Expire()
			return nil
		},
		"delete expired documents": func() error {
			_, err := s.DeleteExpired(ctx)
			return err
		},
		"trim the history": func() error { return s.store.TrimHistory(document.TimeOf(s.now().Add(-versionRetention))) },
	} {
		if err := s.calls.Recover(name, step); err != nil && ctx.Err() == nil {
			s.log.Error("the janitor failed", zap.String("step", name), zap.Error(err))
		}
	}
}

// DeleteExpired deletes the documents whose TTL field is in the past, and returns their number. The janitor calls it
// once a minute; a test can call it at any time.
func (s *Server) DeleteExpired(ctx context.Context) (int, error) {
	if err := s.calls.Begin(); err != nil {
		return 0, err
	}
	defer s.calls.End()
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

// deleteExpiredBatch deletes up to expireBatchSize documents of a collection group.
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
	sn, err := s.store.Snapshot(db)
	if err != nil {
		return 0, err
	}
	defer sn.Close()
	n := 0
	for d, err := range sn.RunQuery(q) {
		if err != nil {
			return n, err
		}
		// The precondition fails if the document was written in the meantime: it may have a new expiry time.
		w, err := write.Parse(db, &pb.Write{
			Operation:       &pb.Write_Delete{Delete: d.Path.ResourceName(db)},
			CurrentDocument: &pb.Precondition{ConditionType: &pb.Precondition_UpdateTime{UpdateTime: d.UpdateTime.Proto()}},
		})
		if err != nil {
			return n, err
		}
		_, err = s.commitOne(db, w)
		if err != nil && status.Code(err) != codes.FailedPrecondition {
			return n, err
		}
		n++
	}
	return n, ctx.Err()
}
