// Package web holds the page for browsers and serves it. The page is built by
// `make page` into dist; a binary made without it says so instead.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Page is the built page: index.html and its assets. It has neither before
// `make page` has run.
func Page() fs.FS {
	page, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is constant and valid
	}
	return page
}
