package docker

import (
	"encoding/binary"
	"fmt"
	"io"
)

const (
	streamStdout = 1
	streamStderr = 2
	// complaintKept is how much of init's standard error is kept: a stack of
	// its runtime's, at most, for the log.
	maxInitStderr = 4 << 10
)

// demux takes the Engine's multiplexed stream apart while it is read: it reads
// as the container's standard output, and keeps the start of its standard
// error. Not stdcopy, which needs a goroutine and a pipe to be a reader.
type demux struct {
	r         io.Reader
	remaining uint32 // of the current stdout piece
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

// next reads the head of a piece, and all of a piece of standard error.
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
	kept := min(size, int64(maxInitStderr-len(d.stderr)))
	piece := make([]byte, kept)
	n, err := io.ReadFull(d.r, piece)
	d.stderr = append(d.stderr, piece[:n]...)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, d.r, size-kept)
	return err
}
