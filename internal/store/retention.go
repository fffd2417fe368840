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

// The methods of this file find resources of all tenants whose retention has ended, the oldest first, in pages of at
// most limit. They serve the janitor. They read no contents of documents.

// Expired is a resource whose retention has ended.
type Expired struct {
	// Path is that of the resource's document, and unique.
	Path string
	// Delete deletes the resource with all that belongs to it. If more is true, it has deleted only a part of a large
	// one, and must be called again. It may be interrupted and repeated, also concurrently: the document by which the
	// others are found is deleted last.
	Delete func(ctx context.Context, deleteArtifacts ArtifactDeleter) (more bool, err error)
}

// ArtifactDeleter deletes the contents of an execution, its transcript only, or the content of an uploaded file, in
// blob storage: what the resource consists of. It is called before the document is deleted or changed.
type ArtifactDeleter func(ctx context.Context, ref execution.Ref) error

// maxBatchDeletes bounds how many executions one call of Delete deletes of a batch.
const maxBatchDeletes = 100

// ExpiredExecutions finds executions that finished before a time; their input files belong to them. Executions of a
// batch are deleted with the batch, because its results need them. Delete keeps an execution whose agent session or
// workspace a conversation still has: it is deleted after the conversation, or after a turn that leaves another one.
func (s *Store) ExpiredExecutions(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	q := s.client.CollectionGroup(executions).Where("lane", "==", execution.LaneInteractive).Where("shard", "in", allShards)
	return findExpired(ctx, q, "finishedAt", before, scan, limit, func(ctx context.Context, snap *firestore.DocumentSnapshot, deleteArtifacts ArtifactDeleter) error {
		ref := refOf[execution.Ref](snap.Ref)
		needed, err := s.neededByConversation(ctx, ref, snap)
		if err != nil || needed {
			return err
		}
		return s.deleteExecution(ctx, ref, deleteArtifacts)
	})
}

// neededByConversation reports whether the next turn of a conversation begins with the agent session or the workspace
// of an execution that has ended. Once it does not, it never will again.
func (s *Store) neededByConversation(ctx context.Context, ref execution.Ref, snap *firestore.DocumentSnapshot) (bool, error) {
	var e struct {
		ConversationID string `firestore:"conversationId"`
	}
	if err := snap.DataTo(&e); err != nil || e.ConversationID == "" {
		return false, err
	}
	c, err := s.Conversation(ctx, ref.Tenant, e.ConversationID)
	if isNotFound(err) {
		return false, nil
	}
	needed := c.Session != nil && c.Session.ExecutionID == ref.ID || c.Workspace != nil && c.Workspace.ExecutionID == ref.ID
	return needed, err
}

func (s *Store) deleteExecution(ctx context.Context, ref execution.Ref, deleteArtifacts ArtifactDeleter) error {
	if err := deleteArtifacts(ctx, ref); err != nil {
		return err
	}
	return s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		return errors.Join(tx.Delete(s.inputFilesDoc(ref)), tx.Delete(s.executionDoc(ref)))
	})
}

// ExpiredTranscripts finds executions whose transcript expired before a time, also those of batches. Delete deletes the
// transcript, and stores when; the rest of the execution stays. Nothing was written to the transcript since it expired,
// see execution.MinTranscriptRetention.
func (s *Store) ExpiredTranscripts(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	q := s.client.CollectionGroup(executions).Where("shard", "in", allShards)
	return findExpired(ctx, q, "transcriptExpiresAt", before, scan, limit, func(ctx context.Context, snap *firestore.DocumentSnapshot, deleteTranscript ArtifactDeleter) error {
		if err := deleteTranscript(ctx, refOf[execution.Ref](snap.Ref)); err != nil {
			return err
		}
		_, err := snap.Ref.Update(ctx, []firestore.Update{
			{Path: "transcriptExpiresAt", Value: firestore.Delete}, {Path: "transcriptDeletedAt", Value: firestore.ServerTimestamp},
		})
		if status.Code(err) == codes.NotFound {
			return nil // the execution was deleted meanwhile
		}
		return translateCommitError(err)
	})
}

// ExpiredBatches finds batches that finished before a time; their executions and inputs belong to them.
func (s *Store) ExpiredBatches(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	snaps, err := scan.page(ctx, expiredQuery(s.client.CollectionGroup(batches).Query, "finishedAt", before), limit)
	expired := make([]Expired, len(snaps))
	for i, snap := range snaps {
		expired[i] = Expired{Path: snap.Ref.Path, Delete: s.batchDeleter(refOf[batch.Ref](snap.Ref))}
	}
	return expired, err
}

// batchDeleter deletes a batch page by page. An execution that cannot be deleted keeps the batch, but not the others.
func (s *Store) batchDeleter(ref batch.Ref) func(context.Context, ArtifactDeleter) (more bool, err error) {
	var scan Scan
	var failed error // the first failure
	return func(ctx context.Context, deleteArtifacts ArtifactDeleter) (more bool, err error) {
		snaps, err := scan.page(ctx, s.batchExecutions(ref).Select(), maxBatchDeletes)
		if err != nil {
			return false, err
		}
		err = deleteEach(ctx, refsOf[execution.Ref](snaps), func(ctx context.Context, e execution.Ref) error {
			return s.deleteExecution(ctx, e, deleteArtifacts)
		})
		if failed == nil {
			failed = err
		}
		if !scan.AtFront() {
			return true, nil
		}
		if failed != nil {
			return false, failed
		}
		if err := s.deleteInputs(ctx, ref); err != nil {
			return false, err
		}
		return false, remove(ctx, s.batchDoc(ref))
	}
}

// ExpiredConversations finds conversations without a message since a time; their messages belong to them. Delete keeps
// a conversation that has a pending turn or gets a message in the meantime.
func (s *Store) ExpiredConversations(ctx context.Context, since time.Time, scan *Scan, limit int) ([]Expired, error) {
	q := s.client.CollectionGroup(conversations).Query
	return findExpired(ctx, q, "updatedAt", since, scan, limit, func(ctx context.Context, snap *firestore.DocumentSnapshot, _ ArtifactDeleter) error {
		_, err := s.deleteConversationIf(ctx, snap.Ref.Parent.Parent.ID, snap.Ref.ID, func(c *conversation.Conversation) bool {
			return len(c.Pending) == 0 && !c.UpdatedAt.After(since)
		})
		if isNotFound(err) || errors.Is(err, errConditionFalse) {
			return nil
		}
		return err
	})
}

// ExpiredDeliveries finds deliveries that finished before a time. Delete keeps a delivery that is sent again in the
// meantime.
func (s *Store) ExpiredDeliveries(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	q := s.client.CollectionGroup(deliveries).Query
	return findExpired(ctx, q, "finishedAt", before, scan, limit, func(ctx context.Context, snap *firestore.DocumentSnapshot, _ ArtifactDeleter) error {
		_, err := snap.Ref.Delete(ctx, firestore.LastUpdateTime(snap.UpdateTime))
		switch status.Code(err) {
		case codes.FailedPrecondition, codes.NotFound: // it has changed, or was deleted
			return nil
		default:
			return translateCommitError(err)
		}
	})
}

// ExpiredUploads finds uploads that began before a time and whose batch or file was never created: the upload was
// interrupted, or it is unknown how its last write ended. Delete deletes what was stored unless the batch or the file
// exists: an upload can be stored late, after its batch.
func (s *Store) ExpiredUploads(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	q := s.client.CollectionGroup(uploads).Query
	return findExpired(ctx, q, "createdAt", before, scan, limit, func(ctx context.Context, snap *firestore.DocumentSnapshot, deleteArtifacts ArtifactDeleter) error {
		ref := refOf[batch.Ref](snap.Ref)
		doc, deleteStored := s.batchDoc(ref), s.deleteInputs
		if isFile(ref.ID) {
			doc, deleteStored = s.fileDoc(ref.Tenant, ref.ID), func(ctx context.Context, ref batch.Ref) error {
				return deleteArtifacts(ctx, execution.Ref(ref))
			}
		}
		accepted, err := exists(ctx, doc)
		if err == nil && !accepted {
			err = deleteStored(ctx, ref)
		}
		if err != nil {
			return err
		}
		return remove(ctx, snap.Ref)
	})
}

// findExpired returns a page of the documents whose time in a field has come, with a function that deletes each as a
// whole.
func findExpired(
	ctx context.Context, q firestore.Query, field string, before time.Time, scan *Scan, limit int,
	deleteOne func(context.Context, *firestore.DocumentSnapshot, ArtifactDeleter) error,
) ([]Expired, error) {
	snaps, err := scan.page(ctx, expiredQuery(q, field, before), limit)
	expired := make([]Expired, len(snaps))
	for i, snap := range snaps {
		expired[i] = Expired{Path: snap.Ref.Path, Delete: func(ctx context.Context, deleteArtifacts ArtifactDeleter) (bool, error) {
			return false, deleteOne(ctx, snap, deleteArtifacts)
		}}
	}
	return expired, err
}

func expiredQuery(q firestore.Query, field string, before time.Time) firestore.Query {
	return q.Where(field, "<=", before).OrderBy(field, firestore.Asc).Select(field, "conversationId")
}
