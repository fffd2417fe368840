// Package blob stores what is too large for an execution's document, in a bucket of Google Cloud Storage or in a
// folder: output files, large results, the sessions of agents, and uploaded files.
//
// In: contents, under keys that it derives from an execution or a file. Out: contents whose size and hash it checks
// against the document. It never decides what to store, and it never reads the documents.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	gcblob "gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file:///folder
	_ "gocloud.dev/blob/gcsblob"  // gs://bucket
	"gocloud.dev/gcerrors"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

var (
	// ErrLost means that a content no longer exists, or has changed. Another attempt does not help.
	ErrLost = errors.New("the content is lost")
	// ErrUnavailable means that blob storage failed. Another attempt may succeed.
	ErrUnavailable = errors.New("blob storage is unavailable")
)

// Store is safe for concurrent use.
type Store struct {
	bucket   *gcblob.Bucket
	syncFile func(*os.File) error // writes a file or a folder to disk; tests replace it
}

// Open returns the store at a URL: gs://bucket, or file:///folder. It creates a missing folder. It does not wait for a
// bucket to answer.
func Open(ctx context.Context, location string) (*Store, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("blob storage: %w", err)
	}
	if u.Scheme == "file" {
		q := u.Query()
		q.Set("create_dir", "true")
		q.Set("dir_file_mode", "0700")
		q.Set("no_tmp_dir", "true") // the temporary file must be on the same file system
		q.Set("metadata", "skip")   // otherwise every content has a second file
		u.RawQuery = q.Encode()
	}
	bucket, err := gcblob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("blob storage: %w", err)
	}
	return &Store{bucket: bucket, syncFile: (*os.File).Sync}, nil
}

// Close closes the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// Put stores a content and returns its size and hash. It replaces an earlier content under the same key. Once it
// returns nil, the content survives a power cut. After an error the key may have the earlier content, or none.
func (s *Store) Put(ctx context.Context, key Key, src io.Reader) (execution.Content, error) {
	hashed := newHashingReader(src)
	if err := s.write(ctx, key.String(), hashed); err != nil {
		return execution.Content{}, fmt.Errorf("%w: put %s: %w", ErrUnavailable, key, err)
	}
	return hashed.content(), nil
}

// writeBuffer is the memory of one write to a bucket in the cloud. The bucket gets a content in parts of this size.
const writeBuffer = 4 << 20

// write stores a content. If the bucket is a folder, it syncs the file before the file gets its name, and the folders
// before it returns. fileblob does not sync, and the document that names the content is on disk before the kernel
// writes the file.
func (s *Store) write(ctx context.Context, key string, src io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File // nil: a bucket in the cloud, which needs no sync
	w, err := s.bucket.NewWriter(ctx, key, &gcblob.WriterOptions{
		ContentType: "application/octet-stream",
		BufferSize:  writeBuffer,
		BeforeWrite: func(as func(any) bool) error { as(&file); return nil },
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(w, src)
	if err == nil && file != nil {
		err = s.syncFile(file)
	}
	if err != nil {
		cancel() // otherwise Close stores the part that was written
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil || file == nil {
		return err
	}
	return s.syncDirs(file.Name(), strings.Count(key, "/"))
}

// syncDirs syncs the folder of a file and as many folders above it as may be new.
func (s *Store) syncDirs(file string, levels int) error {
	for dir := filepath.Dir(file); levels >= 0; dir, levels = filepath.Dir(dir), levels-1 {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(s.syncFile(f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Delete deletes all contents of an execution or an uploaded file, also those that no document names. Call it before
// the document is deleted: then it can be repeated after an error.
func (s *Store) Delete(ctx context.Context, ref execution.Ref) error {
	list := s.bucket.List(&gcblob.ListOptions{Prefix: prefix(ref)})
	for {
		object, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = s.bucket.Delete(ctx, object.Key)
		}
		if err != nil && gcerrors.Code(err) != gcerrors.NotFound {
			return fmt.Errorf("%w: delete the contents of %s: %w", ErrUnavailable, ref.ID, err)
		}
	}
}

// DeleteContent deletes one content. A missing one is not an error.
func (s *Store) DeleteContent(ctx context.Context, key Key) error {
	if err := s.bucket.Delete(ctx, key.String()); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return fmt.Errorf("%w: delete %s: %w", ErrUnavailable, key, err)
	}
	return nil
}

// Check writes, reads and deletes a small content.
func (s *Store) Check(ctx context.Context) error {
	const key, text = "airlock-check", "written by airlock doctor"
	if err := s.bucket.WriteAll(ctx, key, []byte(text), nil); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	got, err := s.bucket.ReadAll(ctx, key)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if string(got) != text {
		return errors.New("read different content than was written")
	}
	return s.bucket.Delete(ctx, key)
}
