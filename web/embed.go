// Package web embeds the built web page and serves it over HTTP. `make page` builds the page into the folder dist. A
// program that was built without it serves an error page in its place. The package never calls the API.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Page returns the built page: index.html and its assets. Before `make page` has run, it contains neither.
func Page() fs.FS {
	page, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is constant and valid
	}
	return page
}
