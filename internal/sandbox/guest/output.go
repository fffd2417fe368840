package guest

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// output is one output stream of the agent: a regular file without a name, which the agent writes and init follows. It
// is not a pipe, because the Claude Code CLI exits before it has written everything to a pipe, and the rest is lost.
type output struct {
	file   *os.File
	offset int64 // of the next read
	total  int64 // bytes read, also before a truncation
	chunk  []byte
	sink   func([]byte) error
}

// newOutput creates the file in dir. It is open for appending: processes that share it do not overwrite each other's
// output. chunk is the number of bytes that sink receives at most.
func newOutput(dir string, chunk int, sink func([]byte) error) (*output, error) {
	file, err := createUnlinked(dir, os.O_APPEND)
	if err != nil {
		return nil, err
	}
	return &output{file: file, chunk: make([]byte, chunk), sink: sink}, nil
}

// follow passes to the sink what was written since the last call, and frees its memory. It stops at the size that the
// file has when follow is called. Otherwise it would not return while the agent writes without a pause.
func (o *output) follow() error {
	info, err := o.file.Stat()
	if err != nil {
		return fmt.Errorf("agent output: %w", err)
	}
	if info.Size() < o.offset {
		o.offset = 0 // the agent truncated the file, as a shell's `> /dev/stdout` does
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
			break // the agent truncated the file after Stat
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

// reclaim frees the bytes that were read, because a tmpfs counts against the container's memory. It makes a hole at the
// start of the file. Where the runtime does not support holes (gVisor), the job's MaxOutput limits the file's size.
func (o *output) reclaim() {
	const punchHole = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	_ = unix.Fallocate(int(o.file.Fd()), punchHole, 0, o.offset)
}

func (o *output) Close() { _ = o.file.Close() }

// createUnlinked creates an empty file that has no name.
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

// head reports the first bytes that are written to it and drops the rest.
type head struct {
	remaining int64
	reports   *frame.Writer
}

func (h *head) write(p []byte) error {
	p = p[:min(int64(len(p)), h.remaining)]
	if len(p) == 0 {
		return nil
	}
	h.remaining -= int64(len(p))
	return h.reports.Write(frame.Report{Kind: frame.Stdout, Body: p})
}

// tail stores the last size bytes that are written to it.
type tail struct {
	size int
	buf  []byte
}

func (t *tail) write(p []byte) error {
	if len(p) > t.size {
		p = p[len(p)-t.size:]
	}
	if over := len(t.buf) + len(p) - t.size; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	t.buf = append(t.buf, p...)
	return nil
}
