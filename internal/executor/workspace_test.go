package executor

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/cenkalti/backoff/v5"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// workspaceSandbox is a sandbox whose jobs begin with the files of the one before. Each job leaves the next text of
// leaves as its snapshot; "" is an empty folder, and a state alone means that there is no snapshot.
func workspaceSandbox(t *testing.T, leaves ...string) (b *fakeSandbox, began func() []string) {
	t.Helper()
	var begins []string
	return newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		begin := ""
		if job.Workspace.Size > 0 {
			data, err := io.ReadAll(job.Workspace.Content)
			require.NoError(t, err)
			begin = string(data)
		}
		begins = append(begins, begin)
		o := successOutcome("done")
		switch left := leaves[len(begins)-1]; left {
		case "":
			o.Snapshot.State = sandbox.SnapshotEmpty
		case string(sandbox.SnapshotTooLarge), string(sandbox.SnapshotNoTime), string(sandbox.SnapshotFailed):
			o.Snapshot.State = sandbox.SnapshotState(left)
		default:
			o.Snapshot = sandbox.Snapshot{
				State: sandbox.SnapshotComplete, Content: io.NewSectionReader(strings.NewReader(left), 0, int64(len(left))),
			}
		}
		require.EqualValues(t, 1<<20, job.MaxSnapshot)
		return o, nil
	}), func() []string { return begins }
}

func configWithWorkspaces(blobs ArtifactStore) Config {
	c := configWithArtifacts(blobs)
	c.MaxWorkspace = 1 << 20
	return c
}

// Each turn begins with the files of the newest turn before it that left any.
func TestTurnsShareTheirWorkspace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	b, began := workspaceSandbox(t, "first", string(sandbox.SnapshotTooLarge), "third", "third", "", "sixth")
	f.run(configWithWorkspaces(blobs), b)
	conversation := ""
	var turns []execution.Execution
	for range 6 {
		turn := f.submitTurn(conversation, "go on", "")
		conversation = turn.ConversationID
		turns = append(turns, f.await(turn.Ref(), execution.Succeeded))
	}
	require.Equal(t, []string{"", "first", "first", "third", "third", ""}, began())
	require.Equal(t, execution.WorkspaceTooLarge, turns[1].WorkspaceLost)
	require.Nil(t, turns[1].Workspace)
	require.Equal(t, turns[2].Workspace, turns[3].Workspace, "what has not changed is not stored again")
	require.True(t, turns[4].Workspace.Empty())
	require.Equal(t, "sixth", content(t, blobs, blob.WorkspaceKey("ada", turns[5].Workspace), turns[5].Workspace.Content))
}

func TestRunBeginsWithEarlierWorkspace(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	b, began := workspaceSandbox(t, "first", "second", "third")
	f.run(configWithWorkspaces(blobs), b)
	first := f.await(f.submit("offline", "x"), execution.Succeeded)
	for range 2 { // as often as wanted
		f.await(f.submitFrom(first.ID), execution.Succeeded)
	}
	require.Equal(t, []string{"", "first", "first"}, began())

	require.NoError(t, blobs.Delete(t.Context(), first.Ref()))
	e := f.await(f.submitFrom(first.ID), execution.Failed)
	require.Equal(t, execution.CodeInvalidTask, e.Failure.Code)
	require.Contains(t, e.Failure.Message, "does not exist any more")
}

// A turn whose files are lost begins without them, and says so.
func TestLostWorkspaceOfConversation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := openArtifactStore(t)
	b, began := workspaceSandbox(t, "first", "second")
	f.run(configWithWorkspaces(blobs), b)
	turn := f.submitTurn("", "begin", "")
	f.await(turn.Ref(), execution.Succeeded)
	require.NoError(t, blobs.Delete(t.Context(), turn.Ref()))
	next := f.submitTurn(turn.ConversationID, "go on", "")
	f.await(next.Ref(), execution.Succeeded)
	require.Equal(t, []string{"", ""}, began())
	require.Contains(t, strings.Join(texts(transcriptOf(t, blobs, next.Ref())), "\n"), "The files of the earlier turns are lost.")
}

// A workspace that cannot be stored does not fail the execution.
func TestWorkspaceThatCannotBeStored(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	blobs := &workspaceRefusal{Store: openArtifactStore(t)}
	b, _ := workspaceSandbox(t, "first")
	f.run(configWithWorkspaces(blobs), b)
	e := f.await(f.submit("offline", "x"), execution.Succeeded)
	require.Equal(t, execution.WorkspaceUnavailable, e.WorkspaceLost)
	require.Nil(t, e.Workspace)
}

// workspaceRefusal takes no workspace.
type workspaceRefusal struct{ *blob.Store }

func (s *workspaceRefusal) Put(_ context.Context, key blob.Key, _ io.Reader) (execution.Content, error) {
	if strings.HasSuffix(key.String(), "/workspace") {
		return execution.Content{}, backoff.Permanent(blob.ErrUnavailable) // not repeated
	}
	return execution.Content{}, nil
}

func TestSameContent(t *testing.T) {
	t.Parallel()
	blobs := openArtifactStore(t)
	w := &execution.Workspace{ExecutionID: "exe_1", Attempt: 1}
	var err error
	w.Content, err = blobs.Put(t.Context(), blob.WorkspaceKey("ada", w), bytes.NewReader([]byte("content")))
	require.NoError(t, err)
	for text, want := range map[string]bool{"content": true, "Content": false, "longer content": false} {
		got, err := sameContent(io.NewSectionReader(strings.NewReader(text), 0, int64(len(text))), w)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
}
