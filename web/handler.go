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

// AssetPrefix is the path below which everything but the page itself lives.
const AssetPrefix = "/assets/"

// policy lets the page run nothing and reach nothing but its own server, and
// lets no code of it make markup of a string: what a model wrote stays text.
const policy = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'"

const notBuilt = "The page is not built; run `make page` and build the program again. The HTTP API works without it.\n"

// Handler serves page at / and its assets below [AssetPrefix]; everything else
// is not found. Without an index.html it answers 503 and says how to build it.
//
// The names of built assets carry a hash of their content, so browsers keep
// them for ever; the page itself is asked for anew each time, at the price of a 304.
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
		panic(err) // the page is part of the binary: this is a broken build
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		protect(h)
		h.Set("Content-Security-Policy", policy)
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
		protect(w.Header())
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		files.ServeHTTP(w, r)
	})
}

func protect(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
}
