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

// maxSpoolMemory is the size up to which a job's output files stay in memory. Larger ones go to a temporary file
// without a name, which the kernel deletes when it is closed.
const maxSpoolMemory = 1 << 20

// spool stores the output files of a job while they arrive. It enforces the limits itself, because an image may contain
// another init.
type spool struct {
	allowed []string // Job.Collect
	files   []spooledFile
	size    int64
	memory  []byte
	disk    *os.File // nil while the files are in memory
}

type spooledFile struct {
	path         string
	mode         uint32
	offset, size int64
}

// beginFile starts the next file.
func (s *spool) beginFile(name string, mode uint32) error {
	expected := strings.HasPrefix(name, sandbox.OutputDir+"/") || slices.Contains(s.allowed, name)
	switch {
	case !expected || path.Clean(name) != name || len(name) > sandbox.MaxPathBytes || !utf8.ValidString(name):
		return fmt.Errorf("%w: unexpected file %q", ErrProtocol, name)
	case mode&^0o777 != 0:
		return fmt.Errorf("%w: file with mode %o", ErrProtocol, mode)
	case len(s.files) == sandbox.MaxOutputFiles:
		return fmt.Errorf("%w: more than %d files", ErrProtocol, sandbox.MaxOutputFiles)
	}
	s.files = append(s.files, spooledFile{path: name, mode: mode, offset: s.size})
	return nil
}

// writeContent adds the next part of the last started file.
func (s *spool) writeContent(p []byte) error {
	if len(s.files) == 0 {
		return fmt.Errorf("%w: file content without a file", ErrProtocol)
	}
	if s.size+int64(len(p)) > sandbox.MaxOutputBytes {
		return fmt.Errorf("%w: files of more than %d bytes", ErrProtocol, sandbox.MaxOutputBytes)
	}
	if s.disk == nil && len(s.memory)+len(p) > maxSpoolMemory {
		if err := s.spillToDisk(); err != nil {
			return err
		}
	}
	if s.disk == nil {
		s.memory = append(s.memory, p...)
	} else if _, err := s.disk.Write(p); err != nil {
		return fmt.Errorf("store output files: %w", err)
	}
	s.size += int64(len(p))
	s.files[len(s.files)-1].size += int64(len(p))
	return nil
}

func (s *spool) spillToDisk() error {
	disk, err := os.CreateTemp("", "airlock-files-")
	if err != nil {
		return fmt.Errorf("store output files: %w", err)
	}
	s.disk = disk
	_, err = disk.Write(s.memory)
	s.memory = nil
	if err := errors.Join(err, os.Remove(disk.Name())); err != nil {
		return fmt.Errorf("store output files: %w", err)
	}
	return nil
}

// dropLast drops the file that was started last, whose content may be incomplete. It returns how many were dropped.
func (s *spool) dropLast() int {
	if len(s.files) == 0 {
		return 0
	}
	s.files = s.files[:len(s.files)-1]
	return 1
}

// moveTo moves the files to the outcome. A path that arrived two times, because it is in both the output folder and
// Job.Collect, becomes one file.
func (s *spool) moveTo(out *sandbox.Outcome) {
	var source io.ReaderAt = bytes.NewReader(s.memory)
	if s.disk != nil {
		source, out.FilesCloser = s.disk, s.disk
	}
	slices.SortStableFunc(s.files, func(a, b spooledFile) int { return strings.Compare(a.path, b.path) })
	for _, f := range slices.CompactFunc(s.files, func(a, b spooledFile) bool { return a.path == b.path }) {
		out.Files = append(out.Files, sandbox.OutputFile{
			Path: f.path, Mode: f.mode, Content: io.NewSectionReader(source, f.offset, f.size),
		})
	}
	s.disk = nil
}

// Close releases the files that were not moved to an outcome.
func (s *spool) Close() {
	if s.disk != nil {
		_ = s.disk.Close()
	}
}
