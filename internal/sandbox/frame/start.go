package frame

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// startBounds limit a start frame. The header can hold a system prompt as an argument, of which the kernel accepts
// 128 KiB. The body can hold the session of a conversation.
var startBounds = bounds{header: 1 << 20, body: 64 << 20}

const secretSize = 32

// Start is the content of the first frame: how the agent is started. Files travel in the frame's body, the rest in its
// header. A snapshot of Workspace bytes may follow the frame, and then the job frame: at once, or later if the agent is
// started ahead.
type Start struct {
	Secret    []byte         `json:"secret"` // key of the reports' HMAC; the agent never receives it
	Argv      []string       `json:"argv"`
	Env       []string       `json:"env,omitempty"`
	Files     []sandbox.File `json:"-"`
	Workspace int64          `json:"workspace,omitempty"` // bytes of a snapshot that follows the frame; 0: none
	Egress    bool           `json:"egress,omitempty"`    // whether init forwards connections to the egress socket
	Network   *Network       `json:"network,omitempty"`   // nil: no host is reached by its name
	Ahead     bool           `json:"ahead,omitempty"`     // the agent starts before the job frame has come
}

// Network is what init needs to connect programs that know no proxy.
type Network struct {
	Ports []int `json:"ports"` // at which hosts may be reached
}

// NewSecret returns a new random key for one container.
func NewSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails, see its documentation
	return secret
}

type startHeader struct {
	Start
	FileSizes []fileHeader `json:"files,omitempty"`
}

// EncodeStart returns the frame. Its only error is ErrTooLarge.
func EncodeStart(s Start) ([]byte, error) {
	header := startHeader{Start: s}
	var body [][]byte
	header.FileSizes, body = encodeFiles(s.Files)
	return encode(nil, startBounds, header, body...)
}

// ReadStart reads the start frame from r. io.EOF means that r ended before the frame.
func ReadStart(r io.Reader) (Start, error) {
	var buf bytes.Buffer
	bodyStart, err := readFrame(r, &buf, startBounds)
	if err != nil {
		return Start{}, err
	}
	var header startHeader
	if err := decodeHeader(buf.Bytes()[prefixSize:bodyStart], &header); err != nil {
		return Start{}, err
	}
	start := header.Start
	if len(start.Secret) != secretSize {
		return Start{}, fmt.Errorf("%w: secret of %d bytes", ErrMalformed, len(start.Secret))
	}
	if len(start.Argv) == 0 {
		return Start{}, fmt.Errorf("%w: no program", ErrMalformed)
	}
	if start.Workspace < 0 {
		return Start{}, fmt.Errorf("%w: workspace of %d bytes", ErrMalformed, start.Workspace)
	}
	body := bodyParser{rest: buf.Bytes()[bodyStart:]}
	if start.Files = body.files(header.FileSizes); !body.complete() {
		return Start{}, fmt.Errorf("%w: sizes do not match the body", ErrMalformed)
	}
	return start, nil
}
