package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/api/contract"
)

const oldResults = "old results\n"

// writeOldResults returns the path of a file with results of an earlier command.
func writeOldResults(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "results.jsonl")
	require.NoError(t, os.WriteFile(file, []byte(oldResults), 0o600))
	return file
}

// requireOnlyFile requires that a file has this content, and that nothing else is in its folder.
func requireOnlyFile(t *testing.T, file, content string) {
	t.Helper()
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, content, string(got))
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestBatchResultsReplaceFile(t *testing.T) {
	const line = `{"index":0,"status":"canceled"}` + "\n"
	a := startFakeAPI(t, map[string][]any{"GET /batches/bat_1/results": {line}})
	file := writeOldResults(t)
	code, out, stderr := runCLI(t, "", "batch", "results", "bat_1", "-o", file, "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Empty(t, out)
	requireOnlyFile(t, file, line)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode(), "the new file has the mode of the old one")

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(file, link))
	code, _, stderr = runCLI(t, "", "batch", "results", "bat_1", "-o", link, "--server", a.URL)
	require.Zero(t, code, stderr)
	target, err := os.Readlink(link)
	require.NoError(t, err)
	require.Equal(t, file, target)

	code, _, stderr = runCLI(t, "", "batch", "results", "bat_1", "-o", os.DevNull, "--server", a.URL)
	require.Zero(t, code, stderr)
	info, err = os.Stat(os.DevNull)
	require.NoError(t, err)
	require.False(t, info.Mode().IsRegular())
}

func TestFailedBatchResultsLeaveOldFile(t *testing.T) {
	a := startFakeAPI(t, map[string][]any{"GET /batches/bat_1/results": {contract.Problem{Status: http.StatusNotFound}}})
	file := writeOldResults(t)
	code, _, _ := runCLI(t, "", "batch", "results", "bat_1", "-o", file, "--server", a.URL)
	require.NotZero(t, code)
	requireOnlyFile(t, file, oldResults)
}

func TestInterruptedBatchResultsLeaveOldFile(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"index":0,"status":"canceled"}`+"\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	c, err := client.New(s.URL)
	require.NoError(t, err)
	file := writeOldResults(t)
	ctx, interrupt := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- saveResults(ctx, c, "bat_1", file, false) }()
	require.Eventually(t, func() bool {
		info, err := os.Stat(file + ".part")
		return err == nil && info.Size() > 0
	}, time.Minute, time.Millisecond)
	interrupt()
	require.ErrorIs(t, <-done, context.Canceled)
	requireOnlyFile(t, file, oldResults)
}
