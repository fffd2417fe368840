// Package artifact keeps what is too large for an execution's document: the
// files that its job left, and a large result. It is blob storage, a bucket in
// the cloud or a folder on one machine; the documents say what must be there.
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

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/fileblob" // file:///folder
	_ "gocloud.dev/blob/gcsblob"  // gs://bucket
	"gocloud.dev/gcerrors"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

var (
	// ErrLost means that a content is not there any more, or not what was put
	// there. Asking again does not bring it back.
	ErrLost = errors.New("the content is lost")
	// ErrUnavailable means that blob storage did not do what it was asked.
	ErrUnavailable = errors.New("blob storage is unavailable")
)

// Store is safe for concurrent use.
type Store struct {
	bucket   *blob.Bucket
	syncFile func(*os.File) error // brings to disk what was written to a file, or entered in a folder
}

// Open returns the store at a URL: gs://bucket, or file:///folder, which is
// made if it is not there. It does not wait for a bucket to answer.
func Open(ctx context.Context, location string) (*Store, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, fmt.Errorf("blob storage: %w", err)
	}
	if u.Scheme == "file" {
		q := u.Query()
		q.Set("create_dir", "true")
		q.Set("dir_file_mode", "0700")
		q.Set("no_tmp_dir", "true") // a rename does not cross file systems
		q.Set("metadata", "skip")   // which would be a second file for each
		u.RawQuery = q.Encode()
	}
	bucket, err := blob.OpenBucket(ctx, u.String())
	if err != nil {
		return nil, fmt.Errorf("blob storage: %w", err)
	}
	return &Store{bucket: bucket, syncFile: (*os.File).Sync}, nil
}

// Close lets go of the bucket.
func (s *Store) Close() error { return s.bucket.Close() }

// Put writes a content and returns what it is. An earlier one under the same
// key is replaced. Once Put returns nil no power cut takes the content away; of
// one that fails nothing has to be there.
func (s *Store) Put(ctx context.Context, key Key, src io.Reader) (execution.Content, error) {
	hashed := newHashingReader(src)
	if err := s.write(ctx, key.String(), hashed); err != nil {
		return execution.Content{}, fmt.Errorf("%w: put %s: %w", ErrUnavailable, key, err)
	}
	return hashed.content(), nil
}

// write has a content on disk before it has its name, and the name before it
// returns, where the bucket is a folder: fileblob leaves both to the kernel, and
// the document that names the content is safe before that.
func (s *Store) write(ctx context.Context, key string, src io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var file *os.File // of a folder; nil: a bucket in the cloud, which has what it has taken
	w, err := s.bucket.NewWriter(ctx, key, &blob.WriterOptions{
		ContentType: "application/octet-stream",
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
		cancel() // or Close would keep what came until then
		return errors.Join(err, w.Close())
	}
	if err := w.Close(); err != nil || file == nil {
		return err
	}
	return s.syncDirs(file.Name(), strings.Count(key, "/"))
}

// syncFolders brings to disk the folder that a file is in, and as many above it as may be new.
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

// Delete removes everything that the attempts of an execution put there, also
// what no document names. Delete before the document: repeated, it does the rest.
func (s *Store) Delete(ctx context.Context, ref execution.Ref) error {
	list := s.bucket.List(&blob.ListOptions{Prefix: executionPrefix(ref)})
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

// Check writes, reads and removes a small content.
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
		return errors.New("what was written is not what is read")
	}
	return s.bucket.Delete(ctx, key)
}
