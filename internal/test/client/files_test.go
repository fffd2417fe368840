package client_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Output files are read by the paths that the execution lists, whatever characters these contain.
func TestFilesAndCompleteResults(t *testing.T) {
	a := startTestServer(t)
	ctx := t.Context()
	agent, err := a.CreateAgent(ctx, counterAgent)
	require.NoError(t, err)
	run, err := a.Run(ctx, agent.Id, client.RunAgent{Input: "x"})
	require.NoError(t, err)
	ref := execution.Ref{Tenant: "local", ID: run.ExecutionId}
	claimed, err := a.store.Apply(ctx, ref, execution.Claimed{Executor: "x"})
	require.NoError(t, err)
	put := func(key blob.Key, text string) execution.Content {
		c, err := a.blobs.Put(ctx, key, strings.NewReader(text))
		require.NoError(t, err)
		return c
	}
	long := strings.Repeat("long ", 1<<18)
	encoded, err := json.Marshal(map[string]string{"text": long})
	require.NoError(t, err)
	complete := put(blob.ResultKey(&claimed.Execution), string(encoded))
	paths := []string{"100 %/a b?c#d.txt", "plain.txt"}
	files := make([]execution.File, len(paths))
	for i, path := range paths {
		files[i] = execution.File{Path: path, Content: put(blob.FileKey(&claimed.Execution, i), "in "+path)}
	}
	_, err = a.store.Apply(ctx, ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: (&execution.Result{Text: long}).Truncate(complete), Files: files,
	}})
	require.NoError(t, err)

	shown, err := a.Execution(ctx, run.ExecutionId)
	require.NoError(t, err)
	require.True(t, shown.Result.Truncated)
	result, err := a.Result(ctx, run.ExecutionId)
	require.NoError(t, err)
	require.Equal(t, long, result.Text)
	require.Len(t, shown.Files, len(paths))
	for _, f := range shown.Files {
		content, err := a.File(ctx, run.ExecutionId, f.Path)
		require.NoError(t, err)
		text, err := io.ReadAll(content)
		require.NoError(t, err)
		require.NoError(t, content.Close())
		require.Equal(t, "in "+f.Path, string(text))
	}
	_, err = a.File(ctx, run.ExecutionId, "none")
	require.True(t, client.IsNotFound(err))
}
