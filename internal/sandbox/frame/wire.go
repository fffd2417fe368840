// Package frame is what the executor and PID 1 of a sandbox say to each other:
// one job frame into the container's standard input, then reports out of its
// standard output.
//
// On the wire a frame is
//
//	magic (4 bytes) | header length (4) | body length (4) | header (JSON) | body
//
// with big-endian lengths. A report ends with an HMAC-SHA256 over all of that,
// made with the secret that came in the job frame, and its header carries a
// sequence number: a process that got hold of the container's output could
// neither invent a report, nor change, repeat, reorder or drop one unnoticed.
package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// magic begins every frame and names the version of the protocol: an image may
// hold an init that is older than the executor.
const magic = "ALK1"

const prefixSize = len(magic) + 4 + 4

var (
	// ErrMalformed says that the bytes are no frame of this protocol.
	ErrMalformed = errors.New("malformed frame")
	// ErrTooLarge says that a frame is over the bounds of its kind.
	ErrTooLarge = errors.New("frame too large")
	// ErrForged says that a report was not made by the init that has the
	// secret, or not in this place of the stream.
	ErrForged = errors.New("forged frame")
)

// bounds limit one kind of frame, in bytes.
type bounds struct{ header, body uint32 }

// encode appends the frame to buf.
func encode(buf []byte, limit bounds, header any, body ...[]byte) ([]byte, error) {
	head, err := json.Marshal(header)
	if err != nil {
		return nil, fmt.Errorf("frame header: %w", err)
	}
	size := 0
	for _, part := range body {
		size += len(part)
	}
	if len(head) > int(limit.header) || size > int(limit.body) {
		return nil, fmt.Errorf("%w: header %d of %d bytes, body %d of %d",
			ErrTooLarge, len(head), limit.header, size, limit.body)
	}
	buf = append(buf, magic...)
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(head)))
	buf = binary.BigEndian.AppendUint32(buf, uint32(size))
	buf = append(buf, head...)
	for _, part := range body {
		buf = append(buf, part...)
	}
	return buf, nil
}

// read takes one frame's raw bytes from r into buf. It returns where the body
// begins. io.EOF means that r ended between two frames.
func readFrame(r io.Reader, buf *bytes.Buffer, limit bounds) (bodyAt int, err error) {
	if _, err := io.CopyN(buf, r, int64(prefixSize)); err != nil {
		if buf.Len() > 0 {
			return 0, unexpectedEOF(err)
		}
		return 0, err
	}
	prefix := buf.Bytes()
	if string(prefix[:len(magic)]) != magic {
		return 0, fmt.Errorf("%w: starts with %q", ErrMalformed, prefix[:len(magic)])
	}
	head := binary.BigEndian.Uint32(prefix[len(magic):])
	body := binary.BigEndian.Uint32(prefix[len(magic)+4:])
	if head > limit.header || body > limit.body {
		return 0, fmt.Errorf("%w: header %d of %d bytes, body %d of %d",
			ErrTooLarge, head, limit.header, body, limit.body)
	}
	// The buffer grows with what arrives, not with what the prefix promises.
	if _, err := io.CopyN(buf, r, int64(head)+int64(body)); err != nil {
		return 0, unexpectedEOF(err)
	}
	return prefixSize + int(head), nil
}

func decodeHeader(raw []byte, into any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	return nil
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
