package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// loadInputFilesTimeout bounds the download of all uploaded files of a job. Then the attempt ends, and another one
// begins later.
const loadInputFilesTimeout = 5 * time.Minute

// localCopy is a content of blob storage on the disk of this machine, without a name: the sandbox reads it without a
// pause, and nothing of it is in memory.
type localCopy struct {
	file *os.File
	size int64
}

// copyLocally copies a content, whose hash it checks.
func (a *attempt) copyLocally(ctx context.Context, key blob.Key, expected execution.Content) (*localCopy, error) {
	content, err := a.executor.config.Artifacts.Get(ctx, key, expected)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	local, err := os.CreateTemp("", "airlock-content-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(local.Name())
	if err == nil {
		_, err = io.Copy(local, content)
	}
	if err != nil {
		return nil, errors.Join(err, local.Close())
	}
	return &localCopy{file: local, size: expected.Size}, nil
}

// read returns a reader of the whole content. Several readers may be used at the same time.
func (c *localCopy) read() io.Reader { return io.NewSectionReader(c.file, 0, c.size) }

func (c *localCopy) release() { _ = c.file.Close() }

// prepareInputFiles opens the contents of the uploaded files that the job reads. A file that the job has under several
// paths is copied once.
func (a *attempt) prepareInputFiles(ctx context.Context, job *sandbox.Job) (release func(), failure *execution.Failure, err error) {
	copies := map[string]*localCopy{}
	release = func() {
		for _, c := range copies {
			c.release()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, loadInputFilesTimeout)
	defer cancel()
	next := 0
	for _, f := range a.execution.Task.InputFileList {
		if f.FileID == "" {
			continue
		}
		if copies[f.FileID] == nil {
			local, err := a.copyLocally(ctx, blob.UploadKey(a.execution.Tenant, f.FileID), f.Content)
			if errors.Is(err, blob.ErrLost) {
				return release, &execution.Failure{
					Code:    execution.CodeInvalidTask,
					Message: fmt.Sprintf("The content of the file %s (%s) is lost. Upload it again.", f.FileID, f.Path),
				}, nil
			}
			if err != nil {
				return release, nil, err
			}
			copies[f.FileID] = local
		}
		job.Streamed[next].Content = copies[f.FileID].read()
		next++
	}
	return release, nil, nil
}
