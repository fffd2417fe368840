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

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
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
