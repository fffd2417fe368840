package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/web"
)

var built = fstest.MapFS{
	"index.html":           {Data: []byte("<!doctype html><title>Airlock</title>")},
	"assets/index-x1.js":   {Data: []byte("export {}")},
	"assets/index-x1.css":  {Data: []byte("body{}")},
	"assets/deep/logo.svg": {Data: []byte("<svg/>")},
	".keep":                {},
}

func get(t *testing.T, h http.Handler, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestHandlerServesPage(t *testing.T) {
	h := web.Handler(built)
	res := get(t, h, "/")
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", res.Header.Get("Content-Type"))
	require.Equal(t, "no-cache", res.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))

	policy := res.Header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'self'")
	require.Contains(t, policy, "frame-ancestors 'none'")
	require.NotContains(t, policy, "unsafe")

	revalidated := get(t, h, "/", "If-None-Match", res.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, revalidated.StatusCode)
}

func TestHandlerServesAssets(t *testing.T) {
	for path, contentType := range map[string]string{
		"/assets/index-x1.js":   "text/javascript; charset=utf-8",
		"/assets/index-x1.css":  "text/css; charset=utf-8",
		"/assets/deep/logo.svg": "image/svg+xml",
	} {
		res := get(t, web.Handler(built), path)
		require.Equal(t, http.StatusOK, res.StatusCode, path)
		require.Equal(t, contentType, res.Header.Get("Content-Type"), path)
		require.Equal(t, "public, max-age=31536000, immutable", res.Header.Get("Cache-Control"), path)
	}
}

func TestHandlerReturns404ForOtherPaths(t *testing.T) {
	for _, path := range []string{"/.keep", "/index.html", "/assets/", "/assets/deep", "/assets/none.js", "/agents"} {
		res := get(t, web.Handler(built), path)
		require.Equal(t, http.StatusNotFound, res.StatusCode, path)
		require.Empty(t, res.Header.Get("Cache-Control"), path)
	}
}

func TestHandlerReturns503WithoutBuiltPage(t *testing.T) {
	h := web.Handler(fstest.MapFS{".keep": {}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Contains(t, w.Body.String(), "The page is not built; run `make page`")
}

func TestPageIsServed(t *testing.T) {
	want := []int{http.StatusOK, http.StatusServiceUnavailable} // built, or a fresh checkout
	require.Contains(t, want, get(t, web.Handler(web.Page()), "/").StatusCode)
}
