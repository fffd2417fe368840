package frame

import (
	"bytes"
	"fmt"
	"io"
)

// controlBounds limit a control frame: it has nothing but its header.
var controlBounds = bounds{header: 256, body: 0}

// Control is the content of a frame that may follow a job frame, any number of times. One of its fields is set.
type Control struct {
	Stop    bool `json:"stop,omitempty"`    // init ends the agent, and reports what it left
	Waiting bool `json:"waiting,omitempty"` // the job's egress waits: the time without output begins again
}

// EncodeControl returns the frame.
func EncodeControl(c Control) []byte {
	raw, err := encode(nil, controlBounds, c)
	if err != nil {
		panic(err) // the header is small
	}
	return raw
}

// ReadControl reads a frame of EncodeControl. io.EOF means that r ended before it.
func ReadControl(r io.Reader) (Control, error) {
	var buf bytes.Buffer
	bodyStart, err := readFrame(r, &buf, controlBounds)
	if err != nil {
		return Control{}, err
	}
	var c Control
	if err := decodeHeader(buf.Bytes()[prefixSize:bodyStart], &c); err != nil {
		return Control{}, err
	}
	if c.Stop == c.Waiting {
		return Control{}, fmt.Errorf("%w: not a control frame", ErrMalformed)
	}
	return c, nil
}
