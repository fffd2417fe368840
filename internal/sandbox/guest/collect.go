package guest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

const (
	// maxEntries limits the directory entries that are read, and so the time for a directory of a million empty files.
	maxEntries = 10_000
	maxDepth   = 64
	// readDirSize is the number of names of a directory that are in memory at the same time.
	readDirSize = 256
)

// collector reports the output files. It runs after the agent and all its child processes have ended. It opens each
// directory relative to its parent's descriptor, and opens only directories and regular files: it follows no link.
type collector struct {
	reports        *frame.Writer
	remainingBytes int64 // how much it may still report
	remainingFiles int
	entriesRead    int
	omitted        int // entries that it did not report
	chunk          [frame.MaxBody]byte
}

// collect reports the files at paths and then the files of the output folder. The paths come first because they are
// few and the job asks for each of them. A missing file is not an error.
func (c *collector) collect(paths []string) error {
	for _, name := range paths {
		if err := c.collectFile(name, writableDirs); err != nil {
			return err
		}
	}
	return c.collectDir(sandbox.OutputDir)
}

func (c *collector) collectFile(name string, allowed []string) error {
	dir, base := path.Split(name)
	root := c.openDir(path.Clean(dir), allowed)
	if root == nil {
		return nil
	}
	defer root.Close()
	info, err := root.Lstat(base)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return c.sendFile(root, base, name)
}

func (c *collector) collectDir(dir string) error {
	root := c.openDir(dir, writableDirs)
	if root == nil {
		return nil
	}
	defer root.Close()
	return c.walkDir(root, dir, 0)
}

// openDir opens a directory that is, or is below, one of the allowed directories, and follows no link. It returns nil
// if there is no such directory, or if it cannot be opened: the agent decides what exists there and who may read it.
func (c *collector) openDir(dir string, allowed []string) *os.Root {
	for _, base := range allowed {
		if dir != base && !strings.HasPrefix(dir, base+"/") {
			continue
		}
		root, err := os.OpenRoot(base)
		if err != nil {
			c.omitted++
			return nil
		}
		for _, name := range strings.FieldsFunc(dir[len(base):], func(r rune) bool { return r == '/' }) {
			next := openSubdir(root, name)
			_ = root.Close()
			if next == nil {
				return nil
			}
			root = next
		}
		return root
	}
	return nil
}

// openSubdir opens a directory in root, or returns nil if name is not a directory.
func openSubdir(root *os.Root, name string) *os.Root {
	info, err := root.Lstat(name)
	if err != nil || !info.IsDir() {
		return nil
	}
	next, err := root.OpenRoot(name)
	if err != nil {
		return nil
	}
	return next
}

func (c *collector) walkDir(root *os.Root, dirPath string, depth int) error {
	dir, err := root.Open(".")
	if err != nil {
		c.omitted++ // its permissions may forbid reading
		return nil
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(readDirSize)
		for _, entry := range entries {
			if c.entriesRead++; c.entriesRead > maxEntries {
				c.omitted++
				return nil
			}
			if err := c.collectEntry(root, entry, path.Join(dirPath, entry.Name()), depth); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the end of the directory, or an unreadable one
		}
	}
}

func (c *collector) collectEntry(root *os.Root, entry fs.DirEntry, filePath string, depth int) error {
	switch {
	case !validPath(filePath):
		c.omitted++
		return nil
	case entry.Type().IsRegular():
		return c.sendFile(root, entry.Name(), filePath)
	case entry.IsDir() && depth < maxDepth:
		if next := openSubdir(root, entry.Name()); next != nil {
			defer next.Close()
			return c.walkDir(next, filePath, depth+1)
		}
	}
	c.omitted++
	return nil
}

// validPath reports whether a path may leave the sandbox.
func validPath(p string) bool {
	return len(p) <= sandbox.MaxPathBytes && utf8.ValidString(p) &&
		!strings.ContainsFunc(p, func(r rune) bool { return unicode.IsControl(r) || r == '\\' })
}

// sendFile reports one file completely, or omits it.
func (c *collector) sendFile(root *os.Root, name, filePath string) error {
	// Without O_NONBLOCK, opening would block if the name is a pipe.
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		c.omitted++
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > c.remainingBytes || c.remainingFiles == 0 {
		c.omitted++
		return nil
	}
	c.remainingBytes -= info.Size()
	c.remainingFiles--
	start := frame.Report{Kind: frame.FileStart, Mode: uint32(info.Mode().Perm()), Body: []byte(filePath)}
	if err := c.reports.Write(start); err != nil {
		return err
	}
	return c.sendContent(io.LimitReader(f, info.Size()))
}

func (c *collector) sendContent(r io.Reader) error {
	for {
		n, err := io.ReadFull(r, c.chunk[:])
		if n > 0 {
			if err := c.reports.Write(frame.Report{Kind: frame.FileContent, Body: c.chunk[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("collect output files: %w", err)
		}
	}
}
