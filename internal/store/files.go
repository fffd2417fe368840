package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/file"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// BeginFile marks the upload of a file before its content is stored. If no file comes of it, ExpiredUploads finds the
// content by the mark.
func (s *Store) BeginFile(ctx context.Context, tenant, fileID string) error {
	return create(ctx, s.uploadDoc(tenant, fileID), upload{ID: fileID, Tenant: tenant})
}

// AbandonFile removes the mark of an upload of which neither a content nor a file is left.
func (s *Store) AbandonFile(ctx context.Context, tenant, fileID string) error {
	return remove(ctx, s.uploadDoc(tenant, fileID))
}

// CreateFile stores a file whose content is stored, and fills in its times. It expires after the retention; 0: never.
// The key may be nil.
func (s *Store) CreateFile(ctx context.Context, f *file.File, retention time.Duration, key *IdempotencyKey) error {
	doc := s.fileDoc(f.Tenant, f.ID)
	err := s.createOnce(ctx, doc, key, func(tx *firestore.Transaction) (Created, time.Time, error) {
		now, err := transactionTime(tx, doc)
		if err != nil {
			return Created{}, now, err
		}
		f.CreatedAt = now
		if retention > 0 {
			expires := now.Add(retention)
			f.ExpiresAt = &expires
		}
		return Created{File: f}, now, errors.Join(tx.Create(doc, f), tx.Delete(s.uploadDoc(f.Tenant, f.ID), firestore.Exists))
	})
	if status.Code(err) == codes.NotFound {
		return fmt.Errorf("%w: the content of file %s was deleted, because its upload took too long", ErrUnavailable, f.ID)
	}
	return err
}

// File returns the tenant's file, or a NotFoundError.
func (s *Store) File(ctx context.Context, tenant, fileID string) (file.File, error) {
	f, _, err := s.readFile(withoutTransaction(ctx), tenant, fileID)
	return f, err
}

func (s *Store) readFile(get documentGetter, tenant, fileID string) (f file.File, now time.Time, err error) {
	now, err = read(get, s.fileDoc(tenant, fileID), &f)
	if err == nil && f.Expired(now) {
		return file.File{}, now, notFound(s.fileDoc(tenant, fileID))
	}
	return f, now, err
}

// Files returns a page of the tenant's files, the newest first. One that has expired is on it until the janitor has
// discarded it.
func (s *Store) Files(ctx context.Context, tenant string, p Page) ([]file.File, error) {
	return list[file.File](ctx, p.apply(s.collection(tenant, files).Query, "createdAt"))
}

// DeleteFile deletes the tenant's file, or returns a NotFoundError. Its content stays while an execution needs it.
func (s *Store) DeleteFile(ctx context.Context, tenant, fileID string) error {
	deleted := false // by a commit whose answer was lost
	return s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		f, now, err := s.readFile(tx.Get, tenant, fileID)
		if deleted && isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		deleted = true
		return s.discard(tx, &f, now)
	})
}

// discard replaces a file by what is left of it.
func (s *Store) discard(tx *firestore.Transaction, f *file.File, now time.Time) error {
	return errors.Join(tx.Delete(s.fileDoc(f.Tenant, f.ID)), tx.Set(s.discardedFileDoc(f.Tenant, f.ID), f.Discard(now)))
}

// FileUsage returns how many files of a tenant are stored, and their size. Discarded files count while their contents
// are stored.
func (s *Store) FileUsage(ctx context.Context, tenant string) (count int, bytes int64, err error) {
	for _, name := range []string{files, discardedFiles} {
		found, err := s.collection(tenant, name).NewAggregationQuery().WithCount("n").WithSum("content.size", "bytes").Get(ctx)
		if err != nil {
			return 0, 0, translateError(err)
		}
		count += int(found["n"].(*firestorepb.Value).GetIntegerValue())
		bytes += found["bytes"].(*firestorepb.Value).GetIntegerValue()
	}
	return count, bytes, nil
}

// MissingFilesError means that input files name uploaded files that the tenant does not have.
type MissingFilesError struct{ IDs []string }

func (e *MissingFilesError) Error() string { return "no files " + strings.Join(e.IDs, ", ") }

// describeInputFiles returns what a task lists of its input files, or a MissingFilesError.
func (s *Store) describeInputFiles(get documentsGetter, tenant string, inputFiles []execution.InputFile) ([]execution.File, error) {
	var refs []*firestore.DocumentRef
	for _, f := range inputFiles {
		if ref := s.fileDoc(tenant, f.FileID); f.FileID != "" && !slices.ContainsFunc(refs, func(r *firestore.DocumentRef) bool { return r.ID == ref.ID }) {
			refs = append(refs, ref)
		}
	}
	found := map[string]execution.Content{}
	if len(refs) > 0 {
		snaps, err := get(refs)
		if err != nil {
			return nil, translateError(err)
		}
		for _, snap := range snaps {
			var f file.File
			now, _, err := decode(snap, &f)
			if isNotFound(err) || err == nil && f.Expired(now) {
				continue
			}
			if err != nil {
				return nil, err
			}
			found[f.ID] = f.Content
		}
	}
	var missing MissingFilesError
	var described []execution.File
	for i, f := range inputFiles {
		described = append(described, f.Describe())
		if f.FileID == "" {
			continue
		}
		content, ok := found[f.FileID]
		if !ok {
			missing.IDs = append(missing.IDs, f.FileID)
		}
		described[i].Content = content
	}
	if missing.IDs != nil {
		return nil, &missing
	}
	return described, nil
}

// ExpiredFiles finds files that expired before a time. Delete discards them.
func (s *Store) ExpiredFiles(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	q := s.client.CollectionGroup(files).Query
	return findExpired(ctx, q, "expiresAt", before, scan, limit, func(ctx context.Context, snap *firestore.DocumentSnapshot, _ ArtifactDeleter) error {
		return s.runTransaction(ctx, func(tx *firestore.Transaction) error {
			var f file.File
			now, err := read(tx.Get, snap.Ref, &f)
			if isNotFound(err) {
				return nil // it was deleted
			}
			if err != nil {
				return err
			}
			return s.discard(tx, &f, now)
		})
	})
}

// DiscardedFiles finds discarded files of which it is time to look whether their contents are needed. Delete deletes a
// content that no execution needs, and no input of a batch. Once none does, none ever will again: new work cannot name
// the file, and a retry names it only if the execution before it does.
func (s *Store) DiscardedFiles(ctx context.Context, before time.Time, scan *Scan, limit int) ([]Expired, error) {
	q := s.client.CollectionGroup(discardedFiles).Query
	return findExpired(ctx, q, "checkAt", before, scan, limit, func(ctx context.Context, snap *firestore.DocumentSnapshot, deleteArtifacts ArtifactDeleter) error {
		ref := refOf[execution.Ref](snap.Ref)
		needed, err := s.fileNeeded(ctx, ref.Tenant, ref.ID)
		if err != nil {
			return err
		}
		if needed {
			_, err := snap.Ref.Update(ctx, []firestore.Update{{Path: "checkAt", Value: before.Add(file.RecheckInterval)}})
			if status.Code(err) == codes.NotFound {
				return nil
			}
			return translateCommitError(err)
		}
		if err := deleteArtifacts(ctx, ref); err != nil {
			return err
		}
		return remove(ctx, snap.Ref)
	})
}

func (s *Store) fileNeeded(ctx context.Context, tenant, fileID string) (bool, error) {
	for _, q := range []firestore.Query{
		s.collection(tenant, executions).Where("task.fileIds", "array-contains", fileID),
		s.client.CollectionGroup(inputs).Where("fileIds", "array-contains", fileID),
	} {
		snaps, err := q.Select().Limit(1).Documents(ctx).GetAll()
		if err != nil || len(snaps) > 0 {
			return true, translateError(err)
		}
	}
	return false, nil
}

// isFile reports whether an upload is that of a file. The others are batches.
func isFile(uploadID string) bool { return id.Valid(id.File, uploadID) }
