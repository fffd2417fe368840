package docker

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	streamStdout = 1
	streamStderr = 2
	// maxInitStderr is the length of init's standard error that the driver stores for error messages. It can hold a
	// stack trace of the Go runtime.
	maxInitStderr = 4 << 10
)

// demux splits the Engine's multiplexed stream while it is read. Read returns the container's standard output. stderr
// has the start of its standard error. The Engine's own stdcopy needs a goroutine and a pipe to become a reader.
type demux struct {
	r         io.Reader
	remaining uint32 // of the current part of standard output
	stderr    []byte
}

func (d *demux) Read(p []byte) (int, error) {
	for d.remaining == 0 {
		if err := d.readHeader(); err != nil {
			return 0, err
		}
	}
	n, err := d.r.Read(p[:min(uint32(len(p)), d.remaining)])
	d.remaining -= uint32(n)
	return n, err
}

// readHeader reads the header of the next part. If it is a part of standard error, it reads the complete part.
func (d *demux) readHeader() error {
	var head [8]byte
	if _, err := io.ReadFull(d.r, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[4:])
	switch head[0] {
	case streamStdout:
		d.remaining = size
		return nil
	case streamStderr:
		return d.readStderr(int64(size))
	default:
		return fmt.Errorf("%w: stream %d", ErrProtocol, head[0])
	}
}

func (d *demux) readStderr(size int64) error {
	stored := min(size, int64(maxInitStderr-len(d.stderr)))
	part := make([]byte, stored)
	n, err := io.ReadFull(d.r, part)
	d.stderr = append(d.stderr, part[:n]...)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, d.r, size-stored)
	return err
}
