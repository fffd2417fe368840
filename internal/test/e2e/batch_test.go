package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
)

const linesType = "application/jsonl"

func (a *airlock) submitBatch(agentID, lines string) contract.Batch {
	a.t.Helper()
	got := a.do(http.MethodPost, "/agents/"+agentID+"/batches", linesType, []byte(lines))
	require.Equal(a.t, http.StatusAccepted, got.StatusCode, "%s", got.body)
	var b contract.Batch
	got.decode(a.t, &b)
	require.Equal(a.t, b.Urls.Self, got.Header.Get("Location"))
	return b
}

func (a *airlock) getBatch(b contract.Batch) (current contract.Batch) {
	a.t.Helper()
	a.get(b.Urls.Self, &current)
	return current
}

func (a *airlock) awaitBatch(b contract.Batch) contract.Batch {
	a.t.Helper()
	a.eventually("the batch has finished", func() bool { b = a.getBatch(b); return b.Status == contract.BatchFinished })
	return b
}

// results reads the results. They must be in input order, without a gap.
func (a *airlock) results(b contract.Batch, query string) []contract.BatchResult {
	a.t.Helper()
	got := a.do(http.MethodGet, b.Urls.Results+query, "", nil)
	require.Equal(a.t, http.StatusOK, got.StatusCode)
	var read []contract.BatchResult
	scan := bufio.NewScanner(bytes.NewReader(got.body))
	scan.Buffer(nil, 1<<20) // a line holds a whole result
	for scan.Scan() {
		var r contract.BatchResult
		require.NoError(a.t, json.Unmarshal(scan.Bytes(), &r))
		if len(read) > 0 {
			require.Equal(a.t, read[len(read)-1].Index+1, r.Index)
		}
		read = append(read, r)
	}
	return read
}

func words(n int) string { return strings.TrimSpace(strings.Repeat("word ", n)) }

// A batch returns the result of each input in input order. A client can read
// them while the batch runs, and resume after an index.
func TestBatch(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	var lines strings.Builder
	const total = 20
	for i := range total {
		if i%2 == 0 {
			fmt.Fprintf(&lines, "%q\n", words(i+1))
		} else {
			fmt.Fprintf(&lines, "{\"input\":%q}\r\n\n", words(i+1))
		}
	}
	b := a.submitBatch(agent.Id, lines.String())
	require.Equal(t, total, b.Total)

	followed := a.results(b, "?follow=true")
	require.Len(t, followed, total, "the response ends when the batch finishes")
	for i, r := range followed {
		require.Equal(t, i, r.Index)
		require.Equal(t, contract.BatchResultStatusSucceeded, r.Status, "%+v", r.Error)
		require.Contains(t, r.Result.Text, fmt.Sprint(i+1))
	}
	require.Equal(t, followed[12:], a.results(b, "?after=11"))

	b = a.awaitBatch(b)
	require.Equal(t, total, b.Progress.Succeeded)
	require.Zero(t, b.Progress.Pending+b.Progress.Queued+b.Progress.Running)
	got := a.do(http.MethodPost, b.Urls.Retry, "", nil)
	require.Equal(t, http.StatusConflict, got.StatusCode, "nothing failed")
	a.awaitNoContainers()
}

func TestGzippedBatch(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	fmt.Fprintln(w, `"one two three"`)
	require.NoError(t, w.Close())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.URL+"/agents/"+agent.Id+"/batches", &zipped)
	require.NoError(t, err)
	req.Header.Set("Content-Type", linesType)
	req.Header.Set("Content-Encoding", "gzip")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	var b contract.Batch
	require.NoError(t, json.NewDecoder(res.Body).Decode(&b))
	require.Equal(t, 1, a.awaitBatch(b).Progress.Succeeded)
}

// A retry runs only the failed inputs, and links to the executions that failed.
func TestBatchRetry(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	b := a.awaitBatch(a.submitBatch(agent.Id, `"fine"`+"\n"+`{"input":"{\"offline\":{\"exit\":3}}"}`+"\n"+`"fine too"`))
	require.Equal(t, 2, b.Progress.Succeeded)
	require.Equal(t, 1, b.Progress.Failed)
	first := a.results(b, "")

	var retry contract.Batch
	a.post(b.Urls.Retry, nil, &retry)
	require.Equal(t, b.Id, retry.RetryOf)
	require.Equal(t, 1, retry.Total)
	retry = a.awaitBatch(retry)
	require.Equal(t, 1, retry.Progress.Failed)
	e := a.getExecution(a.results(retry, "")[0].ExecutionId)
	require.Equal(t, first[1].ExecutionId, e.RetryOf)
	require.Equal(t, retry.Id, e.BatchId)
}

// Cancellation ends queued executions immediately and kills running jobs. Each
// input has a line in the results.
func TestBatchCancel(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.Executor.Slots, d.Executor.ReservedSlots = 2, 1 })
	agent := a.createAgent(offlineAgent)
	const total = 300 // inputs of two documents
	b := a.submitBatch(agent.Id, strings.Repeat(`{"input":"{\"offline\":{\"sleep\":\"60s\"}}"}`+"\n", total))
	a.eventually("one runs", func() bool { return a.getBatch(b).Progress.Running == 1 })
	current := a.getBatch(b)
	require.NotZero(t, current.Progress.Pending, "the inputs of the second document have no executions yet")
	require.Equal(t, total, current.Progress.Pending+current.Progress.Queued+current.Progress.Running)

	a.cancel(b.Urls.Cancel)
	b = a.awaitBatch(b)
	require.Equal(t, total, b.Progress.Canceled)
	require.Len(t, a.results(b, ""), total)
	a.cancel(b.Urls.Cancel)
	a.awaitNoContainers()
}

// A message does not wait for the executions of a batch.
func TestConversationOvertakesBatch(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.Executor.Slots, d.Executor.ReservedSlots = 2, 1 })
	agent := a.createAgent(offlineAgent)
	b := a.submitBatch(agent.Id, strings.Repeat(`{"input":"{\"offline\":{\"sleep\":\"1s\"}}"}`+"\n", 60))
	a.eventually("the batch runs", func() bool { return a.getBatch(b).Progress.Running > 0 })
	e := a.awaitExecution(a.sendMessage(contract.SendMessage{Message: "hello"}).ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Positive(t, a.getBatch(b).Progress.Queued, "the batch has not finished")
	a.cancel(b.Urls.Cancel)
	a.awaitBatch(b)
}

// A batch continues after a restart of all processes.
func TestBatchSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	onDisk := func(d *dev.Config) { d.Emulators.Dir = dir }
	a := start(t, onDisk)
	agent := a.createAgent(offlineAgent)
	const total = 20 // more than the window
	b := a.submitBatch(agent.Id, strings.Repeat(`"one two"`+"\n", total))
	a.eventually("some executions have succeeded", func() bool { return a.getBatch(b).Progress.Succeeded > 2 })
	a.stop()

	restarted := start(t, onDisk)
	b = restarted.awaitBatch(b)
	require.Equal(t, total, b.Progress.Succeeded)
	require.Len(t, restarted.results(b, ""), total)
}

func TestInvalidBatch(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	path := "/agents/" + agent.Id + "/batches"
	for name, tc := range map[string]struct {
		path, contentType, body string
		status                  int
		detail                  string
	}{
		"no lines":         {path, linesType, "\n\n", 400, "at least one line"},
		"an invalid line":  {path, linesType, "\"a\"\n{\"inptu\":\"b\"}\n\"c\"\n", 400, "line 2"},
		"a number":         {path, linesType, "7", 400, "line 1"},
		"an empty input":   {path, linesType, `""`, 400, "must contain text"},
		"JSON, not lines":  {path, jsonType, `"a"`, 415, "application/jsonl"},
		"an unknown agent": {"/agents/" + noAgent + "/batches", linesType, `"a"`, 404, "agent"},
		"too many lines":   {path, linesType, strings.Repeat("\"a\"\n", 100_001), 413, "100000"},
		"an unknown batch": {"/batches/bat_000000000000000000000000/cancel", "", "", 404, "batch"},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.do(http.MethodPost, tc.path, tc.contentType, []byte(tc.body))
			require.Equal(t, tc.status, got.StatusCode, "%s", got.body)
			require.Contains(t, string(got.body), tc.detail)
		})
	}
	var list contract.BatchList
	a.get("/batches", &list)
	require.Empty(t, list.Batches)
}
