package api

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/store"
)

// transcriptParts stores the transcript of an execution's only attempt, one item in each part.
type transcriptParts struct {
	s     server
	blobs *blob.Store
	ref   execution.Ref
	part  blob.TranscriptPart
	all   string
}

func (p *transcriptParts) add(text string) {
	p.s.t.Helper()
	p.part = blob.TranscriptPart{Attempt: 1, Number: p.part.Number + 1, Offset: p.part.Offset + p.part.Size}
	line := transcript.Encode(transcript.Item{Number: p.part.Number, Attempt: 1, Time: time.Now().UTC(), Kind: transcript.KindText, Text: text})
	p.part.Size = int64(len(line))
	require.NoError(p.s.t, p.blobs.PutTranscriptPart(p.s.t.Context(), p.ref, p.part, line))
	p.all += string(line)
}

// startTranscript returns a running execution.
func startTranscript(t *testing.T) (server, *transcriptParts) {
	t.Helper()
	s, blobs, _ := startWithBlobs(t)
	ref := execution.Ref{Tenant: defaultTenant, ID: s.runAgent(s.createAgent().Id).ExecutionId}
	s.apply(ref, execution.Claimed{Executor: "x"})
	return s, &transcriptParts{s: s, blobs: blobs, ref: ref}
}

func (p *transcriptParts) finish() {
	p.s.apply(p.ref, execution.JobEnded{Attempt: 1, Ending: execution.Ending{
		Status: execution.Succeeded, Result: &execution.Result{Text: "done"},
	}})
}

func TestGetTranscript(t *testing.T) {
	t.Parallel()
	s, parts := startTranscript(t)
	path := "/executions/" + parts.ref.ID + "/transcript"
	got := s.do(http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Empty(t, got.body, "nothing is stored yet")

	parts.add("I read the file.")
	parts.add("I write the report.")
	got = s.do(http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, "application/jsonl", got.Header.Get("Content-Type"))
	require.Equal(t, parts.all, string(got.body))
	first, _, _ := strings.Cut(parts.all, "\n")
	var item contract.TranscriptItem
	require.NoError(t, json.Unmarshal([]byte(first), &item))
	require.Equal(t, "I read the file.", item.Text)
	require.Equal(t, contract.TranscriptText, item.Type)

	end := s.do(http.MethodGet, path, "", "Range", "bytes=-20")
	require.Equal(t, http.StatusPartialContent, end.StatusCode)
	require.Equal(t, parts.all[len(parts.all)-20:], string(end.body))
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, s.do(http.MethodGet, path, "", "Range", "bytes=99999-").StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, path, "", "X-User-Id", "another").StatusCode)
	require.Equal(t, http.StatusBadRequest, s.do(http.MethodGet, path+"?follow=true&offset=-1", "").StatusCode)
	require.Equal(t, http.StatusBadRequest, s.do(http.MethodGet, path+"?follow=true&offset=99999", "").StatusCode)
}

func TestFollowTranscript(t *testing.T) {
	t.Parallel()
	s, parts := startTranscript(t)
	parts.add("first")
	skipped := len(parts.all)
	parts.add("second")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/executions/"+parts.ref.ID+"/transcript?follow=true&offset="+
		strconv.Itoa(skipped), nil)
	require.NoError(t, err)
	response, err := contractClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "second")

	parts.add("while it is followed")
	line, err = lines.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "while it is followed")

	parts.add("last")
	parts.finish()
	rest, err := io.ReadAll(lines)
	require.NoError(t, err, "the response ends properly")
	require.Contains(t, string(rest), "last")
}

// startWithClock is startTranscript with a Firestore whose clock the test advances, and an agent's retention.
func startWithClock(t *testing.T, retention string) (server, *transcriptParts, *emulatortest.Clock) {
	t.Helper()
	clock := new(emulatortest.Clock)
	var blobs *blob.Store
	s := startServerWith(t, firestoreemulator.Options{Now: clock.Now}, func(c *Config, _ *store.Store) { blobs = c.Artifacts.(*blob.Store) })
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"i","transcriptRetention":"`+retention+`"}`)
	ref := execution.Ref{Tenant: defaultTenant, ID: s.runAgent(a.Id).ExecutionId}
	s.apply(ref, execution.Claimed{Executor: "x"})
	return s, &transcriptParts{s: s, blobs: blobs, ref: ref}, clock
}

// After its retention a transcript is not sent, whether it is followed or not, before its deletion and after it. The
// rest of the execution is there. Another tenant learns nothing.
func TestTranscriptAfterItsRetention(t *testing.T) {
	t.Parallel()
	s, parts, clock := startWithClock(t, "1h")
	path := "/executions/" + parts.ref.ID
	parts.add("I read the file.")
	running := call[contract.Execution](s, "GET "+path, http.StatusOK, "")
	require.Zero(t, running.TranscriptExpiresAt)
	parts.finish()
	finished := call[contract.Execution](s, "GET "+path, http.StatusOK, "")
	require.Equal(t, finished.FinishedAt.Add(time.Hour), finished.TranscriptExpiresAt)
	listed := call[contract.ExecutionList](s, "GET /executions", http.StatusOK, "").Executions[0]
	require.Equal(t, finished.TranscriptExpiresAt, listed.TranscriptExpiresAt)
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, path+"/transcript", "").StatusCode)

	requireGone := func(says string) {
		t.Helper()
		for _, query := range []string{"", "?follow=true", "?follow=true&offset=10"} {
			got := s.do(http.MethodGet, path+"/transcript"+query, "")
			require.Equal(t, http.StatusGone, got.StatusCode, "%s", got.body)
			p := decodeProblem(t, got)
			require.Equal(t, contract.ProblemTranscriptDeleted, p.Code)
			require.Contains(t, p.Detail, says)
		}
		missing := s.do(http.MethodGet, path+"/transcript", "", tenantHeader, "another")
		require.Equal(t, http.StatusNotFound, missing.StatusCode)
	}
	clock.Advance(time.Hour)
	requireGone("expired at " + finished.TranscriptExpiresAt.Format(time.RFC3339))

	now, err := s.store.Now(t.Context())
	require.NoError(t, err)
	expired, err := s.store.ExpiredTranscripts(t.Context(), now, new(store.Scan), 10)
	require.NoError(t, err)
	require.Len(t, expired, 1)
	_, err = expired[0].Delete(t.Context(), parts.blobs.DeleteTranscript)
	require.NoError(t, err)
	s.finishedCache.now = func() time.Time { return time.Now().Add(2 * cacheTTL) }
	deleted := call[contract.Execution](s, "GET "+path, http.StatusOK, "")
	require.Zero(t, deleted.TranscriptExpiresAt)
	require.WithinDuration(t, now, deleted.TranscriptDeletedAt, time.Minute)
	require.Equal(t, "done", deleted.Result.Text)
	requireGone("was deleted at " + deleted.TranscriptDeletedAt.Format(time.RFC3339))
}

// Who follows a transcript that is kept only until the end gets its end.
func TestFollowTranscriptThatIsNotKept(t *testing.T) {
	t.Parallel()
	s, parts, clock := startWithClock(t, "0s")
	path := "/executions/" + parts.ref.ID + "/transcript"
	parts.add("last")
	parts.finish()
	require.Equal(t, parts.all, string(s.do(http.MethodGet, path+"?follow=true", "").body))
	clock.Advance(execution.MinTranscriptRetention)
	require.Equal(t, http.StatusGone, s.do(http.MethodGet, path, "").StatusCode)
}

func TestTranscriptRetentionOfAgent(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	body := func(retention string) string {
		return `{"name":"A","instructions":"i","transcriptRetention":` + retention + `}`
	}
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, body(`"72h"`))
	require.Equal(t, "72h0m0s", a.TranscriptRetention)
	path := "/agents/" + a.Id
	patch := func(body string) contract.Agent { return call[contract.Agent](s, "PATCH "+path, http.StatusOK, body) }
	require.Equal(t, a, patch(`{"transcriptRetention":"4320m"}`), "the same time is no change")
	require.Equal(t, "0s", patch(`{"transcriptRetention":"0s"}`).TranscriptRetention)
	require.Equal(t, "0s", patch(`{"description":"d"}`).TranscriptRetention, "it stays")
	require.Empty(t, patch(`{"transcriptRetention":null}`).TranscriptRetention)
	require.Equal(t, "72h0m0s", call[contract.Agent](s, "GET "+path+"/versions/1", http.StatusOK, "").TranscriptRetention)
	versions := call[contract.AgentVersionList](s, "GET "+path+"/versions", http.StatusOK, "").Versions
	require.Equal(t, []string{"transcriptRetention"}, versions[0].Changed)
	for _, wrong := range []string{`"-1s"`, `"87601h"`, `"3 days"`, `"forever"`, `7`, `{}`} {
		got := s.do(http.MethodPost, "/agents", body(wrong))
		require.Equal(t, http.StatusBadRequest, got.StatusCode, "%s: %s", wrong, got.body)
		require.Contains(t, string(got.body), "transcriptRetention")
	}
}
