package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/sandbox"
)

const (
	// loadWorkspaceTimeout bounds the download of a workspace. Then the attempt ends, and another one begins later.
	loadWorkspaceTimeout = 2 * time.Minute
	// storeWorkspaceTimeout bounds the upload. Then the execution ends without its workspace.
	storeWorkspaceTimeout = time.Minute
)

// prepareFiles gives a job files with which it begins. The caller calls release when the job has ended. A failure is
// final. An error is a fault of ours.
type prepareFiles func(ctx context.Context, job *sandbox.Job) (release func(), failure *execution.Failure, err error)

// loadWorkspace gets the files with which the job begins.
func (a *attempt) loadWorkspace(ctx context.Context) (w sandbox.Workspace, release func(), err error) {
	from := a.execution.Task.Workspace
	if from.Empty() {
		return w, func() {}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, loadWorkspaceTimeout)
	defer cancel()
	local, err := a.copyLocally(ctx, blob.WorkspaceKey(a.execution.Tenant, from), from.Content)
	if err != nil {
		return w, func() {}, err
	}
	return sandbox.Workspace{Content: local.read(), Size: from.Content.Size, SHA256: from.Content.SHA256}, local.release, nil
}

// prepareWorkspace gives the job the files of the execution or the conversation with which it begins.
func (a *attempt) prepareWorkspace(ctx context.Context, job *sandbox.Job) (release func(), failure *execution.Failure, err error) {
	job.MaxSnapshot = a.executor.config.MaxWorkspace
	job.Workspace, release, err = a.loadWorkspace(ctx)
	if !errors.Is(err, blob.ErrLost) {
		return release, nil, err
	}
	if a.execution.ConversationID == "" {
		return release, &execution.Failure{
			Code:    execution.CodeInvalidTask,
			Message: "The workspace of execution " + a.execution.Task.Workspace.ExecutionID + " does not exist any more.",
		}, nil
	}
	a.log.Error("the workspace of the conversation is lost; the turn begins without files", zap.Error(err))
	a.recordItem(transcript.Item{Kind: transcript.KindNotice, Text: "The files of the earlier turns are lost. The turn begins without them."})
	job.Workspace = sandbox.Workspace{}
	return release, nil, nil
}

// storeWorkspace stores the files that the job left, and describes them in a.ending. Files that have not changed since
// the job began are not stored again.
func (a *attempt) storeWorkspace(ctx context.Context) {
	snapshot := a.outcome.Snapshot
	switch snapshot.State {
	case "": // none was asked for, or the outcome has none
	case sandbox.SnapshotComplete:
		a.uploadWorkspace(ctx, snapshot.Content)
	case sandbox.SnapshotEmpty:
		a.ending.Workspace = &execution.Workspace{ExecutionID: a.execution.ID, Attempt: a.execution.Attempt}
	case sandbox.SnapshotTooLarge:
		a.ending.WorkspaceLost = execution.WorkspaceTooLarge
	case sandbox.SnapshotNoTime:
		a.ending.WorkspaceLost = execution.WorkspaceNoTime
	default:
		a.ending.WorkspaceLost = execution.WorkspaceUnreadable
	}
}

func (a *attempt) uploadWorkspace(ctx context.Context, content *io.SectionReader) {
	ctx, cancel := context.WithTimeout(ctx, storeWorkspaceTimeout)
	defer cancel()
	w := &execution.Workspace{ExecutionID: a.execution.ID, Attempt: a.execution.Attempt}
	unchanged, err := sameContent(content, a.execution.Task.Workspace)
	if unchanged {
		a.ending.Workspace = a.execution.Task.Workspace
		return
	}
	if err == nil {
		w.Content, err = a.upload(ctx, blob.WorkspaceKey(a.execution.Tenant, w), content)
	}
	if err != nil {
		a.log.Error("could not store the workspace", zap.Error(err))
		a.ending.WorkspaceLost = execution.WorkspaceUnavailable
		return
	}
	a.ending.Workspace = w
}

// sameContent reports whether a snapshot is that of a workspace.
func sameContent(content *io.SectionReader, w *execution.Workspace) (bool, error) {
	if w == nil || w.Content.Size != content.Size() {
		return false, nil
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(content, 0, content.Size())); err != nil {
		return false, fmt.Errorf("read the workspace: %w", err)
	}
	return bytes.Equal(hash.Sum(nil), w.Content.SHA256), nil
}
