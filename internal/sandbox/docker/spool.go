package docker

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// maxSpoolMemory is the size up to which what a job left stays in memory. More goes to a temporary file without a name,
// which the kernel deletes when it is closed.
const maxSpoolMemory = 1 << 20

// spoolFile stores what is written to it, and is then read. Its zero value is empty.
type spoolFile struct {
	size   int64
	memory []byte
	disk   *os.File // nil while everything is in memory
}

func (f *spoolFile) Write(p []byte) (int, error) {
	if f.disk == nil && len(f.memory)+len(p) > maxSpoolMemory {
		if err := f.spillToDisk(); err != nil {
			return 0, err
		}
	}
	if f.disk == nil {
		f.memory = append(f.memory, p...)
	} else if _, err := f.disk.Write(p); err != nil {
		return 0, fmt.Errorf("store what a job left: %w", err)
	}
	f.size += int64(len(p))
	return len(p), nil
}

func (f *spoolFile) spillToDisk() error {
	disk, err := os.CreateTemp("", "airlock-files-")
	if err != nil {
		return fmt.Errorf("store what a job left: %w", err)
	}
	f.disk = disk
	_, err = disk.Write(f.memory)
	f.memory = nil
	if err := errors.Join(err, os.Remove(disk.Name())); err != nil {
		return fmt.Errorf("store what a job left: %w", err)
	}
	return nil
}

// reader returns a reader of what was written. It is valid until Close.
func (f *spoolFile) reader() io.ReaderAt {
	if f.disk != nil {
		return f.disk
	}
	return bytes.NewReader(f.memory)
}

func (f *spoolFile) Close() error {
	if f.disk == nil {
		return nil
	}
	return f.disk.Close()
}

// spool stores what a job left, while it arrives: its output files, and the snapshot of its workspace. It enforces the
// limits itself, because an image may contain another init.
type spool struct {
	allowed     []string // Job.Collect
	folder      string   // Job.Folder
	maxSnapshot int64    // Job.MaxSnapshot

	files    []spooledFile
	contents spoolFile // of the files, one after another
	snapshot spoolFile
}

type spooledFile struct {
	path         string
	mode         uint32
	offset, size int64
}

// beginFile starts the next file.
func (s *spool) beginFile(name string, mode uint32) error {
	expected := strings.HasPrefix(name, sandbox.OutputDir+"/") || slices.Contains(s.allowed, name) || name == s.folder
	switch {
	case !expected || path.Clean(name) != name || len(name) > sandbox.MaxPathBytes || !utf8.ValidString(name):
		return fmt.Errorf("%w: unexpected file %q", ErrProtocol, name)
	case mode&^0o777 != 0:
		return fmt.Errorf("%w: file with mode %o", ErrProtocol, mode)
	case len(s.files) == sandbox.MaxOutputFiles:
		return fmt.Errorf("%w: more than %d files", ErrProtocol, sandbox.MaxOutputFiles)
	}
	s.files = append(s.files, spooledFile{path: name, mode: mode, offset: s.contents.size})
	return nil
}

// writeContent adds the next part of the last started file.
func (s *spool) writeContent(p []byte) error {
	if len(s.files) == 0 {
		return fmt.Errorf("%w: file content without a file", ErrProtocol)
	}
	if s.contents.size+int64(len(p)) > sandbox.MaxOutputBytes {
		return fmt.Errorf("%w: files of more than %d bytes", ErrProtocol, sandbox.MaxOutputBytes)
	}
	if _, err := s.contents.Write(p); err != nil {
		return err
	}
	s.files[len(s.files)-1].size += int64(len(p))
	return nil
}

// writeSnapshot adds the next part of the workspace's snapshot.
func (s *spool) writeSnapshot(p []byte) error {
	if s.snapshot.size+int64(len(p)) > s.maxSnapshot {
		return fmt.Errorf("%w: snapshot of more than %d bytes", ErrProtocol, s.maxSnapshot)
	}
	_, err := s.snapshot.Write(p)
	return err
}

// dropLast drops the file that was started last, whose content may be incomplete. It returns how many were dropped.
func (s *spool) dropLast() int {
	if len(s.files) == 0 {
		return 0
	}
	s.files = s.files[:len(s.files)-1]
	return 1
}

// moveTo moves everything to the outcome. A path that arrived two times, because it is in both the output folder and
// Job.Collect, becomes one file.
func (s *spool) moveTo(out *sandbox.Outcome, snapshot sandbox.SnapshotState) {
	contents, slot := s.contents, s.snapshot
	slices.SortStableFunc(s.files, func(a, b spooledFile) int { return strings.Compare(a.path, b.path) })
	for _, f := range slices.CompactFunc(s.files, func(a, b spooledFile) bool { return a.path == b.path }) {
		out.Files = append(out.Files, sandbox.OutputFile{
			Path: f.path, Mode: f.mode, Content: io.NewSectionReader(contents.reader(), f.offset, f.size),
		})
	}
	out.Snapshot.State = snapshot
	if snapshot == sandbox.SnapshotComplete {
		out.Snapshot.Content = io.NewSectionReader(slot.reader(), 0, slot.size)
	}
	if contents.disk != nil || slot.disk != nil {
		out.FilesCloser = closers{&contents, &slot}
	}
	s.contents, s.snapshot = spoolFile{}, spoolFile{}
}

type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for _, closer := range c {
		errs = append(errs, closer.Close())
	}
	return errors.Join(errs...)
}

// Close releases what was not moved to an outcome.
func (s *spool) Close() {
	_ = closers{&s.contents, &s.snapshot}.Close()
}
