package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// writableDirs are the directories of input files and output files: tmpfs mounts that belong to the agent's user.
var writableDirs = []string{sandbox.WorkspaceDir, sandbox.HomeDir}

// writeFiles writes the job's input files, and creates the directories that they need.
func writeFiles(files []sandbox.File, allowed []string) error {
	for _, f := range files {
		if err := writeFile(f.Path, f.Mode, bytes.NewReader(f.Data), int64(len(f.Data)), allowed); err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	return nil
}

// writeStreamedFiles writes the files whose contents follow the job on from, one after another.
func writeStreamedFiles(files []frame.StreamedFile, from io.Reader, allowed []string) error {
	for _, f := range files {
		if err := writeFile(f.Path, f.Mode, from, f.Size, allowed); err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	return nil
}

// writeFile writes the next size bytes of content to a file.
func writeFile(name string, mode uint32, content io.Reader, size int64, allowed []string) error {
	for _, dir := range allowed {
		name, ok := strings.CutPrefix(name, dir+"/")
		if !ok {
			continue
		}
		root, err := os.OpenRoot(dir) // no name and no link leads out of it
		if err != nil {
			return err
		}
		defer root.Close()
		return createFile(root, name, mode, content, size)
	}
	return fmt.Errorf("not below %s", strings.Join(allowed, " or "))
}

// createFile replaces what an earlier job has left under this name: a file that may not be written, or a link.
func createFile(root *os.Root, name string, mode uint32, content io.Reader, size int64) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, content, size)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Chmod(name, os.FileMode(mode).Perm()) // independent of the umask
}
