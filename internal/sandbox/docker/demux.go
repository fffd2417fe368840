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
	complaintKept = 4 << 10
)

// demux takes the Engine's multiplexed stream apart while it is read: it reads
// as the container's standard output, and keeps the start of its standard
// error. Not stdcopy, which needs a goroutine and a pipe to be a reader.
type demux struct {
	r         io.Reader
	left      uint32 // of the current stdout piece
	complaint []byte
}

func (d *demux) Read(p []byte) (int, error) {
	for d.left == 0 {
		if err := d.next(); err != nil {
			return 0, err
		}
	}
	n, err := d.r.Read(p[:min(uint32(len(p)), d.left)])
	d.left -= uint32(n)
	return n, err
}

// next reads the head of a piece, and all of a piece of standard error.
func (d *demux) next() error {
	var head [8]byte
	if _, err := io.ReadFull(d.r, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[4:])
	switch head[0] {
	case streamStdout:
		d.left = size
		return nil
	case streamStderr:
		return d.complain(int64(size))
	default:
		return fmt.Errorf("%w: stream %d", ErrProtocol, head[0])
	}
}

func (d *demux) complain(size int64) error {
	keep := min(size, int64(complaintKept-len(d.complaint)))
	piece := make([]byte, keep)
	n, err := io.ReadFull(d.r, piece)
	d.complaint = append(d.complaint, piece[:n]...)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, d.r, size-keep)
	return err
}
