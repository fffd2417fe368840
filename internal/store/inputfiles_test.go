package store

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// A run and its files are accepted together, up to the bound; the execution's
// document has their list only, so that a heartbeat does not read them.
func TestSubmitRunStoresInputFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	files := []execution.InputFile{
		{Path: "a/large", Data: bytes.Repeat([]byte{0xff}, execution.MaxInputFilesBytes-100)},
		{Path: "empty", Data: []byte{}},
	}
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x", InputFiles: files})
	require.NoError(t, err)
	e := f.getExecution(t, ch.Execution.Ref())
	require.Nil(t, e.Task.InputFiles)
	sum := sha256.Sum256(files[0].Data)
	require.Equal(t, execution.File{Path: "a/large", Content: execution.Content{Size: int64(len(files[0].Data)), SHA256: sum[:]}}, e.Task.InputFileList[0])
	require.Len(t, e.Task.InputFileList, 2)

	stored, err := f.InputFiles(t.Context(), e.Ref())
	require.NoError(t, err)
	require.Equal(t, files, stored)
	_, err = f.InputFiles(t.Context(), execution.Ref{Tenant: bob, ID: e.ID})
	require.Error(t, err, "another's files are not there")
}

// A repetition has files of its own: those of the first may be deleted with it.
func TestRetryCopiesInputFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	files := []execution.InputFile{{Path: "a", Data: []byte("x")}}
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x", InputFiles: files})
	require.NoError(t, err)
	f.mustApply(t, ch.Execution.Ref(), execution.CancelRequested{})
	retry, err := f.Retry(t.Context(), ch.Execution.Ref(), nil)
	require.NoError(t, err)
	require.Equal(t, ch.Execution.Task.InputFileList, f.getExecution(t, retry.Execution.Ref()).Task.InputFileList)
	stored, err := f.InputFiles(t.Context(), retry.Execution.Ref())
	require.NoError(t, err)
	require.Equal(t, files, stored)
}
