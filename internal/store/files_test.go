package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/file"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// createFile stores a file of a tenant that expires after the retention.
func (f fixture) createFile(t *testing.T, tenant string) file.File {
	t.Helper()
	uploaded := file.File{
		ID: id.New(id.File), Tenant: tenant, Name: "in.csv", ContentType: "text/csv",
		Content: execution.Content{Size: 7, SHA256: []byte("sum")},
	}
	require.NoError(t, f.BeginFile(t.Context(), tenant, uploaded.ID))
	require.NoError(t, f.CreateFile(t.Context(), &uploaded, retention, nil))
	return uploaded
}

// contentStored reports whether the janitor has left the content of a file after all looks of a day.
func (f fixture) contentStored(t *testing.T, uploaded file.File) bool {
	t.Helper()
	var a artifacts
	f.clock.Advance(file.RecheckInterval + time.Hour)
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	for _, find := range []find{f.ExpiredFiles, f.DiscardedFiles} {
		expired, err := find(t.Context(), now, new(Scan), 100)
		require.NoError(t, err)
		for _, e := range expired {
			_, err := e.Delete(t.Context(), a.delete)
			require.NoError(t, err)
		}
	}
	for _, ref := range a.deleted {
		if ref == (execution.Ref{Tenant: uploaded.Tenant, ID: uploaded.ID}) {
			return false
		}
	}
	return true
}

func named(uploaded file.File) []execution.InputFile {
	return []execution.InputFile{{Path: "data/in.csv", FileID: uploaded.ID}, {Path: "note", Data: []byte("inline")}}
}

func TestFileIsStoredListedAndDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, second := f.createFile(t, ada), f.createFile(t, ada)
	f.createFile(t, bob)
	require.Zero(t, f.countUploads(t), "the marks of the uploads are removed")
	got, err := f.File(t.Context(), ada, first.ID)
	require.NoError(t, err)
	require.Equal(t, first, got)
	listed, err := f.Files(t.Context(), ada, Page{Limit: 10})
	require.NoError(t, err)
	require.ElementsMatch(t, []file.File{first, second}, listed)

	require.NoError(t, f.DeleteFile(t.Context(), ada, first.ID))
	require.ErrorAs(t, f.DeleteFile(t.Context(), ada, first.ID), new(*NotFoundError))
	require.ErrorAs(t, f.DeleteFile(t.Context(), bob, second.ID), new(*NotFoundError))
	_, err = f.File(t.Context(), ada, first.ID)
	require.ErrorAs(t, err, new(*NotFoundError))

	n, bytes, err := f.FileUsage(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, 2, n, "the content of the deleted one is still stored")
	require.EqualValues(t, 14, bytes)
	require.False(t, f.contentStored(t, first))
	n, bytes, err = f.FileUsage(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.EqualValues(t, 7, bytes)
}

// A content is stored as long as an execution, or an input of a batch, needs it, whatever happens to the file.
func TestContentOfFileStaysWhileItIsNeeded(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(t *testing.T, f fixture, uploaded file.File) (free find){
		"run": func(t *testing.T, f fixture, uploaded file.File) find {
			ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x", InputFiles: named(uploaded)})
			require.NoError(t, err)
			require.Equal(t, uploaded.Content, ch.Execution.Task.InputFileList[0].Content)
			f.mustApply(t, ch.Execution.Ref(), execution.CancelRequested{})
			return f.ExpiredExecutions
		},
		"message": func(t *testing.T, f fixture, uploaded file.File) find {
			ch, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, Message: "x", InputFiles: named(uploaded)})
			require.NoError(t, err)
			require.Equal(t, ch.Execution.Task.InputFileList, f.listMessages(t, ch.Execution)[0].Files)
			f.mustApply(t, ch.Execution.Ref(), execution.CancelRequested{})
			return f.ExpiredExecutions
		},
		"retry": func(t *testing.T, f fixture, uploaded file.File) find {
			ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x", InputFiles: named(uploaded)})
			require.NoError(t, err)
			f.mustApply(t, ch.Execution.Ref(), execution.CancelRequested{})
			require.NoError(t, f.DeleteFile(t.Context(), ada, uploaded.ID))
			retry, err := f.Retry(t.Context(), ch.Execution.Ref(), nil, nil)
			require.NoError(t, err)
			require.Equal(t, ch.Execution.Task.InputFileList, retry.Execution.Task.InputFileList)
			stored, err := f.InputFiles(t.Context(), retry.Execution.Ref())
			require.NoError(t, err)
			require.Equal(t, []execution.InputFile{{Path: "note", Data: []byte("inline")}}, stored)
			require.NoError(t, f.deleteExecution(t.Context(), ch.Execution.Ref(), new(artifacts).delete))
			f.mustApply(t, retry.Execution.Ref(), execution.CancelRequested{})
			return f.ExpiredExecutions
		},
		"batch": func(t *testing.T, f fixture, uploaded file.File) find {
			b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: f.createAgent(t, ada).ID}
			inputs := f.NewBatchInputWriter(b.Ref())
			content := execution.File{Path: "in.csv", FileID: uploaded.ID, Content: uploaded.Content}
			for range maxChunkInputs + 1 {
				require.NoError(t, inputs.Add(t.Context(), batch.Input{Text: "x", Files: []execution.File{content}}))
			}
			require.NoError(t, inputs.Flush(t.Context()))
			b.Total = inputs.Len()
			require.NoError(t, f.SubmitBatch(t.Context(), &b, nil))
			require.True(t, f.contentStored(t, uploaded), "before an execution exists")
			_, created := f.dispatch(t, b.Ref())
			require.Equal(t, []execution.File{content}, f.getExecution(t, created[0]).Task.InputFileList)
			_, err := f.CancelBatch(t.Context(), b.Ref())
			require.NoError(t, err)
			for _, ref := range created {
				f.mustApply(t, ref, execution.CancelRequested{})
			}
			f.dispatch(t, b.Ref())
			return f.ExpiredBatches
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			uploaded := f.createFile(t, ada)
			free := use(t, f, uploaded)
			if name != "retry" {
				require.NoError(t, f.DeleteFile(t.Context(), ada, uploaded.ID))
			}
			require.True(t, f.contentStored(t, uploaded))
			require.True(t, f.contentStored(t, uploaded), "at the next look as well")
			f.clock.Advance(retention + time.Hour)
			f.purge(t, free, new(artifacts))
			require.False(t, f.contentStored(t, uploaded))
		})
	}
}

// New work cannot name a file that was deleted, has expired, or belongs to another tenant.
func TestMissingFilesAreNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	expired := f.createFile(t, ada)
	f.clock.Advance(retention)
	live, deleted, foreign := f.createFile(t, ada), f.createFile(t, ada), f.createFile(t, bob)
	require.NoError(t, f.DeleteFile(t.Context(), ada, deleted.ID))
	inputFiles := []execution.InputFile{
		{Path: "a", FileID: live.ID}, {Path: "b", FileID: deleted.ID}, {Path: "c", FileID: foreign.ID}, {Path: "d", FileID: expired.ID},
		{Path: "e", FileID: live.ID},
	}
	_, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x", InputFiles: inputFiles})
	var missing *MissingFilesError
	require.ErrorAs(t, err, &missing)
	require.Equal(t, []string{deleted.ID, foreign.ID, expired.ID}, missing.IDs)
	_, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, Message: "x", InputFiles: inputFiles})
	require.ErrorAs(t, err, &missing)
	require.Zero(t, f.countDocuments(t, f.collection(ada, executions).Query))

	_, err = f.File(t.Context(), ada, expired.ID)
	require.ErrorAs(t, err, new(*NotFoundError), "also before the janitor has discarded it")
	require.Equal(t, 1, f.purgeNow(t, f.ExpiredFiles))
	require.False(t, f.contentStored(t, expired))
}

// purgeNow deletes what has expired by now.
func (f fixture) purgeNow(t *testing.T, find find) int {
	t.Helper()
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := find(t.Context(), now, new(Scan), 100)
	require.NoError(t, err)
	for _, e := range expired {
		_, err := e.Delete(t.Context(), new(artifacts).delete)
		require.NoError(t, err)
	}
	return len(expired)
}

// The content of an upload that never became a file is deleted. A late mark of one that did is only removed.
func TestInterruptedUploadOfFileIsDeleted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	stored := f.createFile(t, ada)
	require.NoError(t, f.BeginFile(t.Context(), ada, stored.ID))
	interrupted := file.File{ID: id.New(id.File), Tenant: ada}
	require.NoError(t, f.BeginFile(t.Context(), ada, interrupted.ID))
	var a artifacts
	f.clock.Advance(retention + time.Hour)
	require.Equal(t, 2, f.purge(t, f.ExpiredUploads, &a))
	require.Equal(t, []execution.Ref{{Tenant: ada, ID: interrupted.ID}}, a.deleted)
	require.Zero(t, f.countUploads(t))
	err := f.CreateFile(t.Context(), &interrupted, 0, nil)
	require.ErrorIs(t, err, ErrUnavailable, "its content is deleted")
	require.NotErrorIs(t, err, ErrOutcomeUnknown)
}
