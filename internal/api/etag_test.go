package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// createCanceledExecution creates a finished execution and returns its path.
func (s server) createCanceledExecution() string {
	s.t.Helper()
	e := s.runAgent(s.createAgent().Id)
	call[contract.Execution](s, "POST "+e.Urls.Cancel, http.StatusAccepted, "")
	return e.Urls.Self
}

func TestNotModifiedFinishedExecutionSkipsStore(t *testing.T) {
	s := startServer(t)
	path := s.createCanceledExecution()
	first := s.do(http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, first.StatusCode)
	etag := first.Header.Get("ETag")
	require.NotEmpty(t, etag)
	require.Empty(t, first.Header.Get("Retry-After"))

	before := s.store.reads.Load()
	for range 100 {
		got := s.do(http.MethodGet, path+"?wait=30s", "", "If-None-Match", etag)
		require.Equal(t, http.StatusNotModified, got.StatusCode)
		require.Empty(t, got.body)
		require.Equal(t, etag, got.Header.Get("ETag"))
	}
	again := s.do(http.MethodGet, path, "", "If-None-Match", `"another"`)
	require.Equal(t, first.body, again.body)
	require.Equal(t, before, s.store.reads.Load(), "no read of the store")

	// Another tenant that knows the ID and the tag gets 404.
	other := s.do(http.MethodGet, path, "", "If-None-Match", etag, "X-User-Id", "bob")
	require.Equal(t, http.StatusNotFound, other.StatusCode)
}

func TestFinishedCacheExpiry(t *testing.T) {
	now := time.Now()
	m := newFinishedCache()
	m.now = func() time.Time { return now }
	ref := execution.Ref{Tenant: "ada", ID: "exe_1"}
	m.put(ref, taggedResponse{etag: `"1"`, body: []byte("x")})
	now = now.Add(cacheTTL)
	_, ok := m.get(ref)
	require.True(t, ok)
	now = now.Add(1)
	_, ok = m.get(ref)
	require.False(t, ok)
	_, ok = m.get(execution.Ref{Tenant: "bob", ID: "exe_1"})
	require.False(t, ok)

	m.put(ref, taggedResponse{etag: `"2"`, body: make([]byte, maxCachedBodyBytes+1)})
	large, ok := m.get(ref)
	require.True(t, ok)
	require.Nil(t, large.body, "a large body is not cached")
}

func TestRunningExecutionHasETag(t *testing.T) {
	s := startServer(t)
	e := s.runAgent(s.createAgent().Id)
	first := s.do(http.MethodGet, e.Urls.Self, "")
	require.Equal(t, "1", first.Header.Get("Retry-After"))
	etag := first.Header.Get("ETag")
	same := s.do(http.MethodGet, e.Urls.Self, "", "If-None-Match", etag)
	require.Equal(t, http.StatusNotModified, same.StatusCode)
	require.Equal(t, "1", same.Header.Get("Retry-After"))
	call[contract.Execution](s, "POST "+e.Urls.Cancel, http.StatusAccepted, "")
	changed := s.do(http.MethodGet, e.Urls.Self, "", "If-None-Match", etag)
	require.Equal(t, http.StatusOK, changed.StatusCode)
	require.NotEqual(t, etag, changed.Header.Get("ETag"))
}

func TestResourcesHaveETags(t *testing.T) {
	s := startServer(t)
	a := s.createAgent()
	turn := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"hello"}`)
	batch := call[contract.Batch](s, "POST /agents/"+a.Id+"/batches", http.StatusAccepted, "\"x\"\n", "Content-Type", "application/jsonl")
	for _, path := range []string{"/agents/" + a.Id, "/api/conversation/" + turn.ConversationId, "/batches/" + batch.Id} {
		etag := s.do(http.MethodGet, path, "").Header.Get("ETag")
		got := s.do(http.MethodGet, path, "", "If-None-Match", `W/"x", W/`+etag)
		require.Equal(t, http.StatusNotModified, got.StatusCode, path)
	}
	etag := s.do(http.MethodGet, "/agents/"+a.Id, "").Header.Get("ETag")
	call[contract.Agent](s, "PATCH /agents/"+a.Id, http.StatusOK, `{"name":"B"}`)
	require.Equal(t, http.StatusOK, s.do(http.MethodGet, "/agents/"+a.Id, "", "If-None-Match", etag).StatusCode)
}

// A header matches only if it lists the complete tag.
func FuzzIfNoneMatch(f *testing.F) {
	for _, seed := range []string{`"abc"`, `W/"abc"`, "*", `"x", "abc"`, `abc`, `"abc`, ",", ""} {
		f.Add(seed)
	}
	tagged := taggedResponse{etag: `"abc"`}
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("If-None-Match", header)
		if tagged.matches(r) {
			require.True(t, strings.Contains(header, `"abc"`) || strings.Contains(header, "*"))
		}
	})
}
