package web

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// AssetPrefix is the path prefix of every file except the page itself.
const AssetPrefix = "/assets/"

// contentSecurityPolicy limits the page to its own server's scripts and API. Trusted Types forbid all its code to make
// markup from a string, so that the text of a model stays text.
const contentSecurityPolicy = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

const notBuilt = "The page is not built; run `make page` and build the program again. The HTTP API works without it.\n"

// Handler serves page at / and its assets below [AssetPrefix], and returns 404 for every other path. Without an
// index.html it returns 503, and the body says how to build the page.
//
// The names of built assets contain a hash of their content, so browsers may cache them without limit. Browsers
// revalidate the page itself on each visit, which usually costs a 304.
func Handler(page fs.FS) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", index(page))
	mux.Handle("GET "+AssetPrefix, assets(page))
	return mux
}

func index(page fs.FS) http.Handler {
	body, err := fs.ReadFile(page, "index.html")
	if errors.Is(err, fs.ErrNotExist) {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, notBuilt, http.StatusServiceUnavailable)
		})
	}
	if err != nil {
		panic(err) // the page is part of the binary, so the build is broken
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		setSecurityHeaders(h)
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		http.ServeContent(w, r, "index.html", time.Time{}, bytes.NewReader(body))
	})
}

func assets(page fs.FS) http.Handler {
	files := http.FileServerFS(page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, err := fs.Stat(page, strings.TrimPrefix(path.Clean(r.URL.Path), "/"))
		if err != nil || info.IsDir() { // no listings
			http.NotFound(w, r)
			return
		}
		setSecurityHeaders(w.Header())
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		files.ServeHTTP(w, r)
	})
}

func setSecurityHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}
