package guest

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// output is one stream of the agent: a regular file without a name that the
// agent writes and init follows. Not a pipe, because the Claude Code CLI does
// not drain a pipe before it exits, and what it had left is lost.
type output struct {
	file   *os.File
	offset int64 // read up to here
	total  int64 // bytes read, over truncations
	chunk  []byte
	sink   func([]byte) error
}

// newOutput makes the file in dir. It is open for appending, so that processes
// sharing it do not overwrite each other.
func newOutput(dir string, chunk int, sink func([]byte) error) (*output, error) {
	file, err := createUnlinked(dir, os.O_APPEND)
	if err != nil {
		return nil, err
	}
	return &output{file: file, chunk: make([]byte, chunk), sink: sink}, nil
}

// follow passes on what was written since the last time, and gives its memory
// back. It stops at the size that the file had when called, or it would not
// return while an agent floods.
func (o *output) follow() error {
	info, err := o.file.Stat()
	if err != nil {
		return fmt.Errorf("agent output: %w", err)
	}
	if info.Size() < o.offset {
		o.offset = 0 // truncated, as the shell's `> /dev/stdout` does
	}
	start := o.offset
	for o.offset < info.Size() {
		n, err := o.file.ReadAt(o.chunk[:min(int64(len(o.chunk)), info.Size()-o.offset)], o.offset)
		o.offset += int64(n)
		o.total += int64(n)
		if n > 0 {
			if err := o.sink(o.chunk[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break // truncated meanwhile
		}
		if err != nil {
			return fmt.Errorf("agent output: %w", err)
		}
	}
	if o.offset > start {
		o.reclaim()
	}
	return nil
}

// reclaim frees what was read, by a hole from the start of the file: a tmpfs
// counts against the container's memory. Where holes cannot be made (gVisor),
// the job's total bounds what is held.
func (o *output) reclaim() {
	const keepSize = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	_ = unix.Fallocate(int(o.file.Fd()), keepSize, 0, o.offset)
}

func (o *output) Close() { _ = o.file.Close() }

// unlinked makes an empty file that has no name.
func createUnlinked(dir string, flags int) (*os.File, error) {
	named, err := os.CreateTemp(dir, "io-")
	if err != nil {
		return nil, fmt.Errorf("agent output: %w", err)
	}
	defer named.Close()
	file, err := os.OpenFile(named.Name(), os.O_RDWR|flags, 0)
	if err != nil {
		return nil, fmt.Errorf("agent output: %w", err)
	}
	if err := os.Remove(named.Name()); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("agent output: %w", err)
	}
	return file, nil
}
