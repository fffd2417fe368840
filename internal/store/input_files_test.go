package store

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// A run and its input files are stored together, up to the size limit. The execution's document only lists the files,
// so a heartbeat does not read them.
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
	require.Error(t, err, "another tenant cannot read the files")
}

// A retry has its own copy of the input files, because the first execution may be deleted.
func TestRetryCopiesInputFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	files := []execution.InputFile{{Path: "a", Data: []byte("x")}}
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: f.createAgent(t, ada).ID, Input: "x", InputFiles: files})
	require.NoError(t, err)
	f.mustApply(t, ch.Execution.Ref(), execution.CancelRequested{})
	retry, err := f.Retry(t.Context(), ch.Execution.Ref(), nil, nil)
	require.NoError(t, err)
	require.Equal(t, ch.Execution.Task.InputFileList, f.getExecution(t, retry.Execution.Ref()).Task.InputFileList)
	stored, err := f.InputFiles(t.Context(), retry.Execution.Ref())
	require.NoError(t, err)
	require.Equal(t, files, stored)
}
