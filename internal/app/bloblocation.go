package app

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// fillBlobURL is for where nothing is in the cloud: a folder of this user's. In
// the cloud there is no default, for it would be a folder that nobody else sees.
func (c *Cloud) setDefaultBlobURL() {
	if c.BlobURL != "" || c.FirestoreHost == "" || c.PubSubHost == "" {
		return
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	c.BlobURL = fileURL(filepath.Join(dir, "airlock", "blobs"))
}

// blobs is where a whole Airlock on one machine keeps its blobs: beside the
// emulators' data, and with them in memory only, no longer than it runs. The
// emulators alone have none.
func (d *Dev) blobLocation() (location string, remove func() error, err error) {
	switch {
	case d.BlobURL != "", d.NoAPI && d.NoExecutor:
		return d.BlobURL, func() error { return nil }, nil
	case d.Emulators.Dir != "":
		return fileURL(filepath.Join(d.Emulators.Dir, "blobs")), func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "airlock-blobs-")
	if err != nil {
		return "", nil, fmt.Errorf("a folder for blobs: %w", err)
	}
	return fileURL(dir), func() error { return os.RemoveAll(dir) }, nil
}

func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}
