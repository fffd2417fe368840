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
const spoolMemory = 1 << 20

// spool takes in the files that a job left. It trusts the bounds of init no
// more than it has to: an image may hold another one.
type spool struct {
	allowed []string // Job.Collect
	files   []spooled
	size    int64
	memory  []byte
	disk    *os.File // nil while memory is enough
}

type spooled struct {
	path     string
	mode     uint32
	at, size int64
}

// begin takes the next file's name.
func (s *spool) begin(name string, mode uint32) error {
	inside := strings.HasPrefix(name, sandbox.OutDir+"/") || slices.Contains(s.allowed, name)
	switch {
	case !inside || path.Clean(name) != name || len(name) > sandbox.MaxOutPath || !utf8.ValidString(name):
		return fmt.Errorf("%w: file %q was not asked for", ErrProtocol, name)
	case mode&^0o777 != 0:
		return fmt.Errorf("%w: mode %o of a file", ErrProtocol, mode)
	case len(s.files) == sandbox.MaxOutFiles:
		return fmt.Errorf("%w: more than %d files", ErrProtocol, sandbox.MaxOutFiles)
	}
	s.files = append(s.files, spooled{path: name, mode: mode, at: s.size})
	return nil
}

// content takes the next piece of the file that began last.
func (s *spool) content(p []byte) error {
	if len(s.files) == 0 || s.size+int64(len(p)) > sandbox.MaxOut {
		return fmt.Errorf("%w: content of no file, or too much", ErrProtocol)
	}
	if s.disk == nil && len(s.memory)+len(p) > spoolMemory {
		if err := s.toDisk(); err != nil {
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

func (s *spool) toDisk() error {
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
func (s *spool) finish(out *sandbox.Outcome) {
	var from io.ReaderAt = bytes.NewReader(s.memory)
	if s.disk != nil {
		from, out.FilesHeld = s.disk, s.disk
	}
	slices.SortStableFunc(s.files, func(a, b spooled) int { return strings.Compare(a.path, b.path) })
	for _, f := range slices.CompactFunc(s.files, func(a, b spooled) bool { return a.path == b.path }) {
		out.Files = append(out.Files, sandbox.OutFile{
			Path: f.path, Mode: f.mode, Content: io.NewSectionReader(from, f.at, f.size),
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
