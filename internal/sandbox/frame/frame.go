// Package frame is the protocol between the executor and sandbox-init, PID 1 of a sandbox. The executor writes a start
// frame and a job frame to the container's standard input. Init writes reports to the container's standard output.
//
// On the wire a frame is
//
//	magic (4 bytes) | header length (4) | body length (4) | header (JSON) | body
//
// with big-endian lengths. A report ends with an HMAC-SHA256 of these bytes. Its key is the secret of the start frame,
// and its header has a sequence number. So a process that gains access to the container's output cannot invent a
// report, and the executor detects a report that was changed, repeated, reordered or dropped.
//
// The package encodes and decodes. It opens no connection, starts no process and sets no time limit.
package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// magic starts every frame: a fixed prefix and one digit for the version of the protocol. The version must change with
// the meaning of any header, because a runtime image may contain a sandbox-init of another release than the executor.
const (
	magicPrefix = "ALK"
	magic       = magicPrefix + "4"
)

const prefixSize = len(magic) + 4 + 4

var (
	// ErrMalformed means that the bytes are not a frame.
	ErrMalformed = errors.New("malformed frame")
	// ErrVersion means that the frame has another version of the protocol: the executor and the sandbox-init in the
	// image belong to different releases.
	ErrVersion = errors.New("frame of another protocol version")
	// ErrTooLarge means that a frame is larger than the bounds of its kind.
	ErrTooLarge = errors.New("frame too large")
	// ErrForged means that a report was not made with the job's secret, or is not the next one in the stream.
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

// readFrame reads the bytes of one frame from r into buf and returns the offset of the body. io.EOF means that r ended
// between two frames.
func readFrame(r io.Reader, buf *bytes.Buffer, limit bounds) (bodyStart int, err error) {
	if _, err := io.CopyN(buf, r, int64(prefixSize)); err != nil {
		if buf.Len() > 0 {
			return 0, unexpectedEOF(err)
		}
		return 0, err
	}
	prefix := buf.Bytes()
	if err := checkMagic(string(prefix[:len(magic)])); err != nil {
		return 0, err
	}
	head := binary.BigEndian.Uint32(prefix[len(magic):])
	body := binary.BigEndian.Uint32(prefix[len(magic)+4:])
	if head > limit.header || body > limit.body {
		return 0, fmt.Errorf("%w: header %d of %d bytes, body %d of %d",
			ErrTooLarge, head, limit.header, body, limit.body)
	}
	// The buffer grows with the bytes that arrive. A false length in the prefix allocates nothing.
	if _, err := io.CopyN(buf, r, int64(head)+int64(body)); err != nil {
		return 0, unexpectedEOF(err)
	}
	return prefixSize + int(head), nil
}

func checkMagic(got string) error {
	switch {
	case got == magic:
		return nil
	case got[:len(magicPrefix)] == magicPrefix:
		return fmt.Errorf("%w: it is %q, this program supports %q", ErrVersion, got, magic)
	default:
		return fmt.Errorf("%w: starts with %q", ErrMalformed, got)
	}
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
