package frame

import (
	"bytes"
	"fmt"
	"io"
)

// stopBounds limit the frame that stops a job: it has nothing but its header.
var stopBounds = bounds{header: 256, body: 0}

type stopHeader struct {
	Stop bool `json:"stop"`
}

// EncodeStop returns the frame that may follow a job frame: init ends the agent, and reports what it left.
func EncodeStop() []byte {
	raw, err := encode(nil, stopBounds, stopHeader{Stop: true})
	if err != nil {
		panic(err) // the header is constant
	}
	return raw
}

// ReadStop reads the frame of EncodeStop. io.EOF means that r ended before it.
func ReadStop(r io.Reader) error {
	var buf bytes.Buffer
	bodyStart, err := readFrame(r, &buf, stopBounds)
	if err != nil {
		return err
	}
	var header stopHeader
	if err := decodeHeader(buf.Bytes()[prefixSize:bodyStart], &header); err != nil {
		return err
	}
	if !header.Stop {
		return fmt.Errorf("%w: not the frame that stops a job", ErrMalformed)
	}
	return nil
}
