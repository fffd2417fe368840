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

// spoolMemory is how much of a job's files is held in memory. What has more
// goes to a file without a name, which is gone with its descriptor.
const maxSpoolMemory = 1 << 20

// spool takes in the files that a job left. It trusts the bounds of init no
// more than it has to: an image may hold another one.
type spool struct {
	allowed []string // Job.Collect
	files   []spooledFile
	size    int64
	memory  []byte
	disk    *os.File // nil while memory is enough
}

type spooledFile struct {
	path         string
	mode         uint32
	offset, size int64
}

// begin takes the next file's name.
func (s *spool) beginFile(name string, mode uint32) error {
	expected := strings.HasPrefix(name, sandbox.OutputDir+"/") || slices.Contains(s.allowed, name)
	switch {
	case !expected || path.Clean(name) != name || len(name) > sandbox.MaxPathBytes || !utf8.ValidString(name):
		return fmt.Errorf("%w: file %q was not asked for", ErrProtocol, name)
	case mode&^0o777 != 0:
		return fmt.Errorf("%w: mode %o of a file", ErrProtocol, mode)
	case len(s.files) == sandbox.MaxOutputFiles:
		return fmt.Errorf("%w: more than %d files", ErrProtocol, sandbox.MaxOutputFiles)
	}
	s.files = append(s.files, spooledFile{path: name, mode: mode, offset: s.size})
	return nil
}

// content takes the next piece of the file that began last.
func (s *spool) writeContent(p []byte) error {
	if len(s.files) == 0 || s.size+int64(len(p)) > sandbox.MaxOutputBytes {
		return fmt.Errorf("%w: content of no file, or too much", ErrProtocol)
	}
	if s.disk == nil && len(s.memory)+len(p) > maxSpoolMemory {
		if err := s.spillToDisk(); err != nil {
			return err
		}
	}
	if s.disk == nil {
		s.memory = append(s.memory, p...)
	} else if _, err := s.disk.Write(p); err != nil {
		return fmt.Errorf("files of a job: %w", err)
	}
	s.size += int64(len(p))
	s.files[len(s.files)-1].size += int64(len(p))
	return nil
}

func (s *spool) spillToDisk() error {
	disk, err := os.CreateTemp("", "airlock-files-")
	if err != nil {
		return fmt.Errorf("files of a job: %w", err)
	}
	s.disk = disk
	_, err = disk.Write(s.memory)
	s.memory = nil
	if err := errors.Join(err, os.Remove(disk.Name())); err != nil {
		return fmt.Errorf("files of a job: %w", err)
	}
	return nil
}

// finish hands everything over to the outcome. A path that came twice is there
// once: it was in the output folder and asked for besides.
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

// Close lets go of what was not handed over.
func (s *spool) Close() {
	if s.disk != nil {
		_ = s.disk.Close()
	}
}
