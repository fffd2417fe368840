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
	// maxSeen bounds the entries that are looked at, and so the time that a
	// folder of a million empty files costs.
	maxSeen  = 10_000
	maxDepth = 64
	// dirChunk is how many names of a folder are in memory at once.
	dirChunk = 256
)

// collector passes on the files that the agent left. It runs when the agent
// and all its children are dead, goes from folder to folder by descriptor, and
// opens nothing that is not a folder or a regular file: no link is followed.
type collector struct {
	reports *frame.Writer
	bytes   int64 // that may still be passed on
	files   int
	seen    int
	leftOut int
	chunk   [frame.MaxBody]byte
}

// collect passes on the named files first, for they are few and were asked
// for, and then the output folder. That one is not there is no error.
func (c *collector) collect(named []string) error {
	for _, name := range named {
		if err := c.named(name, writable); err != nil {
			return err
		}
	}
	return c.tree(sandbox.OutDir)
}

func (c *collector) named(name string, below []string) error {
	dir, base := path.Split(name)
	root, err := enter(path.Clean(dir), below)
	if err != nil || root == nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat(base)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return c.file(root, base, name)
}

func (c *collector) tree(dir string) error {
	root, err := enter(dir, writable)
	if err != nil || root == nil {
		return err
	}
	defer root.Close()
	return c.folder(root, dir, 0)
}

// enter opens a folder below one of the given ones without following a link.
// It returns nil where that is not possible: it is the agent's to make it so.
func enter(dir string, below []string) (*os.Root, error) {
	for _, base := range below {
		if dir != base && !strings.HasPrefix(dir, base+"/") {
			continue
		}
		root, err := os.OpenRoot(base)
		if err != nil {
			return nil, fmt.Errorf("collect files: %w", err)
		}
		for _, name := range strings.FieldsFunc(dir[len(base):], func(r rune) bool { return r == '/' }) {
			next := descend(root, name)
			_ = root.Close()
			if next == nil {
				return nil, nil
			}
			root = next
		}
		return root, nil
	}
	return nil, nil
}

// descend opens a folder in root, or returns nil if it is none.
func descend(root *os.Root, name string) *os.Root {
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

func (c *collector) folder(root *os.Root, at string, depth int) error {
	dir, err := root.Open(".")
	if err != nil {
		c.leftOut++ // its mode may forbid reading
		return nil
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(dirChunk)
		for _, entry := range entries {
			if c.seen++; c.seen > maxSeen {
				c.leftOut++
				return nil
			}
			if err := c.entry(root, entry, path.Join(at, entry.Name()), depth); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the end; or what cannot be read is not passed on
		}
	}
}

func (c *collector) entry(root *os.Root, entry fs.DirEntry, at string, depth int) error {
	switch {
	case !presentable(at):
		c.leftOut++
		return nil
	case entry.Type().IsRegular():
		return c.file(root, entry.Name(), at)
	case entry.IsDir() && depth < maxDepth:
		if next := descend(root, entry.Name()); next != nil {
			defer next.Close()
			return c.folder(next, at, depth+1)
		}
	}
	c.leftOut++
	return nil
}

// presentable says whether a path may leave the sandbox.
func presentable(at string) bool {
	return len(at) <= sandbox.MaxOutPath && utf8.ValidString(at) &&
		!strings.ContainsFunc(at, func(r rune) bool { return unicode.IsControl(r) || r == '\\' })
}

// file passes one file on, whole or not at all.
func (c *collector) file(root *os.Root, name, at string) error {
	// Not blocking, in case it is a pipe by now.
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		c.leftOut++
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > c.bytes || c.files == 0 {
		c.leftOut++
		return nil
	}
	c.bytes -= info.Size()
	c.files--
	left := frame.Report{Kind: frame.Left, Mode: uint32(info.Mode().Perm()), Body: []byte(at)}
	if err := c.reports.Write(left); err != nil {
		return err
	}
	return c.content(io.LimitReader(f, info.Size()))
}

func (c *collector) content(r io.Reader) error {
	for {
		n, err := io.ReadFull(r, c.chunk[:])
		if n > 0 {
			if err := c.reports.Write(frame.Report{Kind: frame.Content, Body: c.chunk[:n]}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("collect files: %w", err)
		}
	}
}
