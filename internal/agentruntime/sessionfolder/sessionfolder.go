// Package sessionfolder reads the session that a program left as a folder of files: a tar, as init packs it. The agent
// decides what the tar contains, so nothing in it is trusted: it may have regular files only, each with a clean path in
// the folder. The package touches no file system.
package sessionfolder

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// maxPathBytes bounds all paths of a folder together: a job's frame has them in its header.
const maxPathBytes = 256 << 10

// ErrMalformed says that a tar is not a session that can be used.
var ErrMalformed = errors.New("malformed session folder")

// File is one file of a folder.
type File struct {
	Path    string // relative to the folder
	Mode    uint32 // permission bits
	ModTime time.Time
	Data    []byte
}

// Unpack returns the files of a tar in the order in which they were changed last.
func Unpack(data []byte) ([]File, error) {
	var files []File
	seen, pathBytes, size := map[string]bool{}, 0, int64(0)
	for archive := tar.NewReader(bytes.NewReader(data)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		pathBytes += len(header.Name)
		size += header.Size
		switch {
		case header.Typeflag != tar.TypeReg:
			return nil, fmt.Errorf("%w: entry %q of type %q", ErrMalformed, header.Name, header.Typeflag)
		case !validPath(header.Name) || seen[header.Name]:
			return nil, fmt.Errorf("%w: path %q", ErrMalformed, header.Name)
		case len(files) == sandbox.MaxOutputFiles || pathBytes > maxPathBytes:
			return nil, fmt.Errorf("%w: too many files", ErrMalformed)
		case size > int64(len(data)): // a file with holes has more bytes than the tar
			return nil, fmt.Errorf("%w: the files have more bytes than the tar", ErrMalformed)
		}
		seen[header.Name] = true
		content, err := io.ReadAll(archive)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		files = append(files, File{header.Name, uint32(header.Mode) & 0o777, header.ModTime, content}) //nolint:gosec // masked
	}
	for name := range seen { // a file is no folder of another
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if seen[dir] {
				return nil, fmt.Errorf("%w: %q is a file and a folder", ErrMalformed, dir)
			}
		}
	}
	slices.SortStableFunc(files, func(a, b File) int { return a.ModTime.Compare(b.ModTime) })
	return files, nil
}

func validPath(p string) bool {
	return p != "." && path.Clean(p) == p && !path.IsAbs(p) && p != ".." && !strings.HasPrefix(p, "../") && len(p) <= sandbox.MaxPathBytes/2 &&
		utf8.ValidString(p) && !strings.ContainsFunc(p, func(r rune) bool { return unicode.IsControl(r) || r == '\\' })
}

// Paths returns the paths of files.
func Paths(files []File) []string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	return paths
}

// Equal reports whether two folders have the same files, whenever they were changed.
func Equal(a, b []File) bool {
	if len(a) != len(b) {
		return false
	}
	byPath := map[string][]byte{}
	for _, f := range a {
		byPath[f.Path] = f.Data
	}
	return !slices.ContainsFunc(b, func(f File) bool {
		data, ok := byPath[f.Path]
		return !ok || !bytes.Equal(data, f.Data)
	})
}
