package executor

import (
	"bytes"
	"context"
	"io"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// storeArtifactsTimeout bounds the upload of the artifacts of an attempt. Then the attempt fails, and another
	// one runs the job again.
	storeArtifactsTimeout = time.Minute
	// maxConcurrentUploads bounds the uploads of one attempt at the same time.
	maxConcurrentUploads = 8
)

// storeArtifacts uploads the output files of the job, and its result if that is too large for the document, and puts
// their names into a.ending. The ending is written afterwards, so a name never exists without its content. An attempt
// that dies in between leaves contents without a name; they are deleted together with the execution.
func (a *attempt) storeArtifacts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeArtifactsTimeout)
	defer cancel()
	ending := &a.ending
	var contents []io.ReadSeeker
	ending.Files, contents, ending.OmittedFileCount = outputFiles(a.outcome)

	uploads, ctx := errgroup.WithContext(ctx)
	uploads.SetLimit(maxConcurrentUploads)
	for i, content := range contents {
		uploads.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			ending.Files[i].Content, err = a.upload(ctx, blob.FileKey(a.execution, i), content)
			return err
		})
	}
	if r := ending.Result; r != nil && r.Large() {
		uploads.Go(func() (err error) {
			defer supervise.RecoverTo(&err)
			text, err := encodeResult(r)
			if err != nil {
				return err
			}
			complete, err := a.upload(ctx, blob.ResultKey(a.execution), bytes.NewReader(text))
			ending.Result = r.Truncate(complete)
			return err
		})
	}
	return uploads.Wait()
}

// upload puts one content into blob storage. It repeats a failed call for as long as ctx allows.
func (a *attempt) upload(ctx context.Context, key blob.Key, content io.ReadSeeker) (execution.Content, error) {
	return retryUntilDeadline(ctx, func() (execution.Content, error) {
		if _, err := content.Seek(0, io.SeekStart); err != nil {
			return execution.Content{}, backoff.Permanent(err)
		}
		return a.executor.config.Artifacts.Put(ctx, key, content)
	})
}

// outputFiles returns the files of the output folder whose paths fit into the execution's document, and how many files
// were omitted.
func outputFiles(o sandbox.Outcome) (files []execution.File, contents []io.ReadSeeker, omitted int) {
	omitted = o.OmittedFileCount
	remaining := execution.MaxFilePathsBytes
	for _, f := range o.Files {
		path, ok := strings.CutPrefix(f.Path, sandbox.OutputDir+"/")
		if !ok {
			continue // the agent's session file, which goes to the conversation
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

// encodeResult returns the stored form of a large result: the JSON object Result of the API's contract. The API sends
// the stored bytes unchanged, so a test validates them against the contract's schema. The executor does not use the
// contract's type, because workers do not import the API.
func encodeResult(r *execution.Result) ([]byte, error) {
	form := struct {
		Text       string         `json:"text"`
		Output     jsontext.Value `json:"output,omitzero"`
		AgentDraft *agent.Draft   `json:"agentDraft,omitzero"`
	}{Text: r.Text, AgentDraft: r.AgentDraft}
	if r.Output != "" {
		form.Output = jsontext.Value(r.Output)
	}
	return json.Marshal(form, jsontext.AllowInvalidUTF8(true))
}
