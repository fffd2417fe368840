package executor

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
)

// Artifacts is where goes what is too large for a document. Put may be called
// concurrently, and again after an error.
type ArtifactStore interface {
	Put(ctx context.Context, key blob.Key, from io.Reader) (execution.Content, error)
}

const (
	// keepTimeout is how long an attempt tries to keep what the job left; after
	// that it is for another one, which has to do the job again.
	storeArtifactsTimeout = time.Minute
	// keepAtOnce bounds the contents that are on their way to blob storage.
	maxConcurrentUploads = 8
)

// keep puts the job's files, and a result that is too large for the document,
// into blob storage. The ending that names them is written afterwards, so there
// is never a name without its content. An attempt that dies in between leaves
// contents without a name; they go with the execution.
func (x *Executor) storeArtifacts(ctx context.Context, e *execution.Execution, ending *execution.Ending, o sandbox.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, storeArtifactsTimeout)
	defer cancel()
	var contents []io.ReadSeeker
	ending.Files, contents, ending.OmittedFileCount = outputFiles(o)

	uploads, ctx := errgroup.WithContext(ctx)
	uploads.SetLimit(maxConcurrentUploads)
	for i, content := range contents {
		uploads.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			ending.Files[i].Content, err = x.putWithRetry(ctx, blob.FileKey(e, i), content)
			return err
		})
	}
	if r := ending.Result; r != nil && r.Large() {
		uploads.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			text, err := blob.EncodeResult(r)
			if err != nil {
				return err
			}
			complete, err := x.putWithRetry(ctx, blob.ResultKey(e), bytes.NewReader(text))
			ending.Result = r.Truncate(complete)
			return err
		})
	}
	return uploads.Wait()
}

// put tries for as long as ctx allows.
func (x *Executor) putWithRetry(ctx context.Context, key blob.Key, content io.ReadSeeker) (execution.Content, error) {
	return backoff.Retry(ctx, func() (execution.Content, error) {
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			return execution.Content{}, backoff.Permanent(err)
		}
		return x.config.Artifacts.Put(ctx, key, content)
	}, backoff.WithMaxElapsedTime(storeArtifactsTimeout))
}

// left is what the job left in its output folder, as far as the execution can
// list it, and how much more there was.
func outputFiles(o sandbox.Outcome) (files []execution.File, contents []io.ReadSeeker, omitted int) {
	omitted = o.OmittedFileCount
	remaining := execution.MaxFilePathsBytes
	for _, f := range o.Files {
		path, ok := strings.CutPrefix(f.Path, sandbox.OutputDir+"/")
		if !ok {
			continue // the agent's memory, which goes to the conversation
		}
		if remaining -= len(path); remaining < 0 {
			omitted++
			continue
		}
		files = append(files, execution.File{Path: path})
		contents = append(contents, f.Content)
	}
	return files, contents, omitted
}
