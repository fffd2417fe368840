package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The methods of this file delete resources of all tenants whose retention has ended, the oldest first. They serve the
// janitor. Each call deletes at most limit documents or resources and returns their number. A smaller number means that
// no more are left. A call may be interrupted and repeated, also concurrently: it deletes the document by which others
// are found last.

// ArtifactDeleter deletes the contents of an execution in blob storage. It is called before the execution is deleted.
type ArtifactDeleter func(ctx context.Context, ref execution.Ref) error

// PurgeExecutions deletes executions that finished before a time, with their input files. Executions of a batch are
// deleted with the batch, because its results need them.
func (s *Store) PurgeExecutions(ctx context.Context, before time.Time, limit int, deleteArtifacts ArtifactDeleter) (int, error) {
	q := s.client.CollectionGroup(executions).Where("lane", "==", execution.LaneInteractive)
	return s.deleteExecutions(ctx, finishedBefore(q, before, limit), deleteArtifacts)
}

// PurgeBatches deletes batches that finished before a time, with their executions and inputs.
func (s *Store) PurgeBatches(ctx context.Context, before time.Time, limit int, deleteArtifacts ArtifactDeleter) (int, error) {
	expired, err := listRefs[batch.Ref](ctx, finishedBefore(s.client.CollectionGroup(batches).Query, before, limit))
	deleted := 0
	for i := 0; i < len(expired) && deleted < limit && err == nil; i++ {
		var n int
		n, err = s.deleteBatch(ctx, expired[i], limit-deleted, deleteArtifacts)
		deleted += n
	}
	return deleted, err
}

// deleteBatch deletes at most limit executions of a batch. With the last of them it deletes the batch.
func (s *Store) deleteBatch(ctx context.Context, ref batch.Ref, limit int, deleteArtifacts ArtifactDeleter) (int, error) {
	deleted, err := s.deleteExecutions(ctx, s.batchExecutions(ref).Limit(limit), deleteArtifacts)
	if err != nil || deleted == limit {
		return deleted, err
	}
	if err := s.deleteInputs(ctx, ref); err != nil {
		return deleted, err
	}
	return deleted + 1, remove(ctx, s.batchDoc(ref))
}

// PurgeConversations deletes conversations without a message since a time, with their messages and transcripts. It does
// not delete a conversation that has a pending turn or gets a message in the meantime.
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
		_, err = s.deleteConversationIf(ctx, idle[i].Tenant, idle[i].ID, func(c *conversation.Conversation) bool {
			return len(c.Pending) == 0 && !c.UpdatedAt.After(since)
		})
		if isNotFound(err) || errors.Is(err, errConditionFalse) {
			err = nil
			continue
		}
		deleted++
	}
	return deleted, err
}

// PurgeDeliveries deletes deliveries that finished before a time. It does not delete a delivery that is sent again in
// the meantime.
func (s *Store) PurgeDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	q := finishedBefore(s.client.CollectionGroup(deliveries).Query, before, limit)
	expired, err := q.Select("finishedAt").Documents(ctx).GetAll()
	if err != nil {
		return 0, translateError(err)
	}
	return len(expired), deleteEach(ctx, expired, func(ctx context.Context, snap *firestore.DocumentSnapshot) error {
		_, err := snap.Ref.Delete(ctx, firestore.LastUpdateTime(snap.UpdateTime))
		switch status.Code(err) {
		case codes.FailedPrecondition, codes.NotFound: // it has changed, or was deleted
			return nil
		default:
			return translateCommitError(err)
		}
	})
}

// PurgeUploads deletes the inputs of batches that were never created and whose upload began before a time: the upload
// was interrupted, or it is unknown how its last write ended.
func (s *Store) PurgeUploads(ctx context.Context, before time.Time, limit int) (int, error) {
	q := s.client.CollectionGroup(uploads).Where("createdAt", "<=", before).OrderBy("createdAt", firestore.Asc).Limit(limit)
	abandoned, err := listRefs[batch.Ref](ctx, q)
	for i := 0; i < len(abandoned) && err == nil; i++ {
		err = s.purgeUpload(ctx, abandoned[i])
	}
	return len(abandoned), err
}

// purgeUpload deletes an upload, and its inputs unless the batch exists: an upload can be stored late, after its batch.
func (s *Store) purgeUpload(ctx context.Context, ref batch.Ref) error {
	accepted, err := exists(ctx, s.batchDoc(ref))
	if err != nil {
		return err
	}
	if accepted {
		return remove(ctx, s.uploadDoc(ref))
	}
	return s.deleteInputs(ctx, ref)
}

func finishedBefore(q firestore.Query, before time.Time, limit int) firestore.Query {
	return q.Where("finishedAt", "<=", before).OrderBy("finishedAt", firestore.Asc).Limit(limit)
}

func (s *Store) deleteExecutions(ctx context.Context, q firestore.Query, deleteArtifacts ArtifactDeleter) (int, error) {
	expired, err := listRefs[execution.Ref](ctx, q)
	if err != nil {
		return 0, err
	}
	return len(expired), deleteEach(ctx, expired, func(ctx context.Context, ref execution.Ref) error {
		if err := deleteArtifacts(ctx, ref); err != nil {
			return err
		}
		return s.runTransaction(ctx, func(tx *firestore.Transaction) error {
			return errors.Join(tx.Delete(s.inputFilesDoc(ref)), tx.Delete(s.executionDoc(ref)))
		})
	})
}
