package dev

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/app/config"
)

// dataVersion is the version of what is in the data folder: the names of collections, stored fields, topics and files.
// Raise it with every change after which a program cannot read older data. Data without a version is older than 2.
const dataVersion = "2"

// dataVersionFile is in the data folder, beside the folders of the emulators.
const dataVersionFile = "version"

// checkDataVersion refuses a data folder of another version, and marks an empty one. It never changes other data.
func checkDataVersion(dir string) error {
	if dir == "" {
		return nil // in memory
	}
	file := filepath.Join(dir, dataVersionFile)
	text, err := os.ReadFile(file)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		if found := strings.TrimSpace(string(text)); err == nil && found != dataVersion {
			return &dataVersionError{dir: dir, found: fmt.Sprintf("version %q", found)}
		}
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "lost+found" }) // of a new file system
	switch {
	case slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "firestore" || e.Name() == "pubsub" }):
		return &dataVersionError{dir: dir, found: "no version file, so it is of an older Airlock"}
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty and has no data of Airlock: choose an empty folder, or one that does not exist, with --data", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return writeNewFile(file, dataVersion+"\n")
}

// dataVersionError refuses a data folder.
type dataVersionError struct{ dir, found string }

func (e *dataVersionError) Error() string {
	return fmt.Sprintf("the data folder %s has %s, but this Airlock needs version %s and cannot convert the data: "+
		"choose another folder with --data, or delete this one if the data is not needed", e.dir, e.found, dataVersion)
}

// blobLocation returns the URL of the blobs: beside the emulators' data, or, if that is in memory, in a temporary
// folder that remove deletes. The emulators alone need no blobs.
func (c *Config) blobLocation() (location string, remove func() error, err error) {
	switch {
	case c.BlobURL != "", c.NoAPI && c.NoExecutor:
		return c.BlobURL, func() error { return nil }, nil
	case c.Emulators.Dir != "":
		return config.FileURL(filepath.Join(c.Emulators.Dir, "blobs")), func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "airlock-blobs-")
	if err != nil {
		return "", nil, fmt.Errorf("create a folder for blobs: %w", err)
	}
	return config.FileURL(dir), func() error { return os.RemoveAll(dir) }, nil
}

// ensurePepper creates a pepper beside the data, if keys are used and the operator has set none.
func (c *Config) ensurePepper() error {
	p := &c.API.PepperSource
	if c.NoAPI || c.API.EffectiveAuthMode() != config.AuthKeys || p.Pepper != "" || p.PepperFile != "" || c.Emulators.Dir == "" {
		return nil
	}
	p.PepperFile = filepath.Join(c.Emulators.Dir, "api-key-pepper")
	err := writeNewFile(p.PepperFile, rand.Text()+rand.Text()+"\n") // 26 letters each
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("create the API key pepper: %w", err)
	}
	return nil
}

// writeNewFile writes a file to disk, or returns fs.ErrExist. If it fails, as on a full disk, it leaves no file that a
// later start would read.
func writeNewFile(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}
