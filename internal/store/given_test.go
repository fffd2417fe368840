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
func TestARunIsStoredWithItsFiles(t *testing.T) {
	t.Parallel()
	f := start(t)
	a := f.agent(t, ada)
	files := []execution.Given{
		{Path: "a/large", Data: bytes.Repeat([]byte{0xff}, execution.MaxGiven-100)},
		{Path: "empty", Data: []byte{}},
	}
	ch, err := f.SubmitRun(t.Context(), Run{Owner: ada, AgentID: a.ID, Input: "x", Files: files})
	require.NoError(t, err)
	e := f.stored(t, ch.Execution.Ref())
	require.Nil(t, e.Task.Given)
	sum := sha256.Sum256(files[0].Data)
	require.Equal(t, execution.File{Path: "a/large", Content: execution.Content{Size: int64(len(files[0].Data)), SHA256: sum[:]}}, e.Task.Files[0])
	require.Len(t, e.Task.Files, 2)

	given, err := f.Given(t.Context(), e.Ref())
	require.NoError(t, err)
	require.Equal(t, files, given)
	_, err = f.Given(t.Context(), execution.Ref{Owner: bob, ID: e.ID})
	require.Error(t, err, "another's files are not there")
}

// A repetition has files of its own: those of the first may be deleted with it.
func TestARetryIsGivenTheSameFiles(t *testing.T) {
	t.Parallel()
	f := start(t)
	files := []execution.Given{{Path: "a", Data: []byte("x")}}
	ch, err := f.SubmitRun(t.Context(), Run{Owner: ada, AgentID: f.agent(t, ada).ID, Input: "x", Files: files})
	require.NoError(t, err)
	f.applied(t, ch.Execution.Ref(), execution.CancelAsked{})
	again, err := f.Retry(t.Context(), ch.Execution.Ref())
	require.NoError(t, err)
	require.Equal(t, ch.Execution.Task.Files, f.stored(t, again.Execution.Ref()).Task.Files)
	given, err := f.Given(t.Context(), again.Execution.Ref())
	require.NoError(t, err)
	require.Equal(t, files, given)
}
