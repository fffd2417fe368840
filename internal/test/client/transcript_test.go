package client_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
)

// A transcript that is followed goes on after the last complete item when the connection breaks.
func TestTranscriptContinuesAfterInterruption(t *testing.T) {
	t.Parallel()
	const first = `{"number":1,"attempt":1,"time":"2026-11-30T00:00:00Z","type":"text","text":"first"}` + "\n"
	const second = `{"number":2,"attempt":1,"time":"2026-11-30T00:00:00Z","type":"end","text":"succeeded"}` + "\n"
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "true", r.URL.Query().Get("follow"))
		switch requests.Add(1) {
		case 1:
			require.Equal(t, "0", r.URL.Query().Get("offset"))
			_, _ = io.WriteString(w, "\n"+first+second[:20])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		default:
			require.Equal(t, strconv.Itoa(len(first)), r.URL.Query().Get("offset"))
			_, _ = io.WriteString(w, second)
		}
	}))
	defer server.Close()
	c, err := client.New(server.URL)
	require.NoError(t, err)
	var texts []string
	for item, err := range c.Transcript(t.Context(), "exe_1", true) {
		require.NoError(t, err)
		texts = append(texts, item.Text)
	}
	require.Equal(t, "first succeeded", strings.Join(texts, " "))
	require.EqualValues(t, 2, requests.Load())
}

// A transcript whose retention is over is told apart from other errors, and is not asked for again.
func TestDeletedTranscript(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	code := "transcript_deleted"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, `{"type":"about:blank","title":"Gone","status":410,"code":"`+code+`","detail":"It is deleted."}`)
	}))
	defer server.Close()
	c, err := client.New(server.URL)
	require.NoError(t, err)
	read := func(follow bool) (errs []error) {
		for _, err := range c.Transcript(t.Context(), "exe_1", follow) {
			errs = append(errs, err)
		}
		return errs
	}
	for _, follow := range []bool{false, true} {
		errs := read(follow)
		require.Len(t, errs, 1)
		require.True(t, client.IsTranscriptDeleted(errs[0]))
		require.ErrorContains(t, errs[0], "It is deleted.")
	}
	require.EqualValues(t, 2, requests.Load())
	code = "artifact_lost"
	require.False(t, client.IsTranscriptDeleted(read(false)[0]), "a lost part is another error")
}
