package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The methods of this file delete, of all tenants, what nobody needs any more;
// each call at most limit documents or things of a sort, the oldest first. Any
// number may run, be cut off, and be called again: what others are found by goes
// last. They return how many they have deleted: fewer than limit, and there are
// no more.

// Forget deletes what is kept elsewhere of an execution, before the execution itself.
type ArtifactDeleter func(ctx context.Context, ref execution.Ref) error

// deletions is how many documents are deleted at the same time.
const maxConcurrentDeletes = 16

// ExpireExecutions deletes executions that ended before, with the files that
// they were given. Those of a batch expire with it, since its results are read by them.
func (s *Store) PurgeExecutions(ctx context.Context, before time.Time, limit int, deleteArtifacts ArtifactDeleter) (int, error) {
	return s.deleteExecutions(ctx, s.client.CollectionGroup(executions).
		Where("lane", "==", execution.LaneInteractive).Where("finishedAt", "<=", before).OrderBy("finishedAt", firestore.Asc).Limit(limit), deleteArtifacts)
}

// ExpireBatches deletes batches that ended before, with their executions and inputs.
func (s *Store) PurgeBatches(ctx context.Context, before time.Time, limit int, deleteArtifacts ArtifactDeleter) (int, error) {
	q := s.client.CollectionGroup(batches).Where("finishedAt", "<=", before).OrderBy("finishedAt", firestore.Asc).Limit(limit)
	expired, err := list[batch.Ref](ctx, q.Select("tenant", "id"))
	deleted := 0
	for i := 0; i < len(expired) && deleted < limit && err == nil; i++ {
		var n int
		n, err = s.deleteBatch(ctx, expired[i], limit-deleted, deleteArtifacts)
		deleted += n
	}
	return deleted, err
}

// deleteBatch deletes at most limit executions of a batch, and with the last of them the batch.
func (s *Store) deleteBatch(ctx context.Context, ref batch.Ref, limit int, deleteArtifacts ArtifactDeleter) (int, error) {
	deleted, err := s.deleteExecutions(ctx, s.collection(ref.Tenant, executions).Where("batchId", "==", ref.ID).Limit(limit), deleteArtifacts)
	if err != nil || deleted == limit {
		return deleted, err
	}
	if err := s.NewBatchInputWriter(ref).Delete(ctx); err != nil {
		return deleted, err
	}
	_, err = s.collection(ref.Tenant, batches).Doc(ref.ID).Delete(ctx)
	return deleted + 1, translateError(err)
}

// ExpireConversations deletes conversations in which nothing was said since,
// with their messages and sessions. One that is continued meanwhile stays.
func (s *Store) PurgeConversations(ctx context.Context, since time.Time, limit int) (int, error) {
	q := s.client.CollectionGroup(conversations).Where("updatedAt", "<=", since).OrderBy("updatedAt", firestore.Asc).Limit(limit)
	idle, err := list[conversation.Conversation](ctx, q.Select("tenant", "id", "pending"))
	deleted := 0
	for i := range idle {
		if err != nil {
			break
		}
		if len(idle[i].Pending) > 0 {
			continue
		}
		_, err = s.deleteConversation(ctx, idle[i].Tenant, idle[i].ID, func(c *conversation.Conversation) bool {
			return len(c.Pending) == 0 && !c.UpdatedAt.After(since)
		})
		var notFound *NotFoundError
		if errors.As(err, &notFound) || errors.Is(err, errNotDeletable) {
			err = nil
			continue
		}
		deleted++
	}
	return deleted, err
}

// ExpireDeliveries deletes deliveries of webhooks that ended before. One that is
// to be sent again meanwhile stays.
func (s *Store) PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	q := s.client.CollectionGroup(deliveries).Where("finishedAt", "<=", before).OrderBy("finishedAt", firestore.Asc).Limit(limit)
	ended, err := q.Select("finishedAt").Documents(ctx).GetAll()
	if err != nil {
		return 0, translateError(err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentDeletes)
	for _, snap := range ended {
		g.Go(func() error {
			_, err := snap.Ref.Delete(ctx, firestore.LastUpdateTime(snap.UpdateTime))
			switch status.Code(err) {
			case codes.FailedPrecondition, codes.NotFound: // it has changed, or is gone
				return nil
			default:
				return translateError(err)
			}
		})
	}
	return len(ended), g.Wait()
}

// ExpireUploads deletes the inputs of batches whose upload began before and
// that never came to be: their API was killed in the middle.
func (s *Store) PurgeUploads(ctx context.Context, before time.Time, limit int) (int, error) {
	q := s.client.CollectionGroup(uploads).Where("createdAt", "<=", before).OrderBy("createdAt", firestore.Asc).Limit(limit)
	abandoned, err := list[batch.Ref](ctx, q.Select("tenant", "id"))
	for i := 0; i < len(abandoned) && err == nil; i++ {
		err = s.NewBatchInputWriter(abandoned[i]).Delete(ctx)
	}
	return len(abandoned), err
}

func (s *Store) deleteExecutions(ctx context.Context, q firestore.Query, deleteArtifacts ArtifactDeleter) (int, error) {
	expired, err := list[execution.Ref](ctx, q.Select("tenant", "id"))
	if err != nil {
		return 0, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentDeletes)
	for _, ref := range expired {
		g.Go(func() error {
			if err := deleteArtifacts(ctx, ref); err != nil {
				return err
			}
			return s.runTransaction(ctx, func(tx *firestore.Transaction) error {
				return errors.Join(tx.Delete(s.inputFilesDoc(ref)), tx.Delete(s.collection(ref.Tenant, executions).Doc(ref.ID)))
			})
		})
	}
	return len(expired), g.Wait()
}
