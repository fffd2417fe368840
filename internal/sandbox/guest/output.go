package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// maxAhead bounds the memory that one output may occupy, in bytes. Both fit the tmpfs of sandbox.StreamDir.
const maxAhead = 64 << 20

// output is one output stream of the agent: a regular file without a name, which the agent writes and init follows. It
// is not a pipe, because the Claude Code CLI exits before it has written everything to a pipe, and the rest is lost.
type output struct {
	file   *os.File
	offset int64 // of the next read
	total  int64 // bytes read, also before a truncation
	floods bool  // the agent has once been more than maxAhead in front of init
	grows  bool  // what was read still occupies memory, because the runtime supports no holes in files (gVisor)
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
	o.floods = o.floods || info.Size()-o.offset > maxAhead
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
// start of the file.
func (o *output) reclaim() {
	const punchHole = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE
	o.grows = unix.Fallocate(int(o.file.Fd()), punchHole, 0, o.offset) != nil
}

// tooLarge reports whether the file has occupied more memory than one output may.
func (o *output) tooLarge() bool { return o.floods || o.grows && o.total > maxAhead }

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

// ends stores the first and the last bytes that are written to it: programs say why they fail at the beginning of their
// output, or at its end.
type ends struct {
	first, last []byte
	dropped     bool // there is a gap between first and last
}

// The sizes of ends, in bytes. Together with gap they are sandbox.MaxStderrBytes.
const (
	firstBytes = 4 << 10
	lastBytes  = sandbox.MaxStderrBytes - firstBytes - len(gap)
	gap        = "\n…\n"
)

func (e *ends) write(p []byte) error {
	n := min(len(p), firstBytes-len(e.first))
	e.first, p = append(e.first, p[:n]...), p[n:]
	if len(p) > lastBytes {
		p, e.dropped = p[len(p)-lastBytes:], true
	}
	if over := len(e.last) + len(p) - lastBytes; over > 0 {
		e.last, e.dropped = append(e.last[:0], e.last[over:]...), true
	}
	e.last = append(e.last, p...)
	return nil
}

// bytes returns what is stored.
func (e *ends) bytes() []byte {
	if !e.dropped {
		return slices.Concat(e.first, e.last)
	}
	return slices.Concat(e.first, []byte(gap), e.last)
}
