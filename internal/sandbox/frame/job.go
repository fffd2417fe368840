package frame

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// jobBounds limit a job frame. The header can hold a system prompt as an argument, of which the kernel accepts
// 128 KiB. The body can hold the files of a repository.
var jobBounds = bounds{header: 1 << 20, body: 64 << 20}

const secretSize = 32

// Job is the content of the job frame. Standard input and files travel in the frame's body, the rest in its header.
type Job struct {
	Secret      []byte         `json:"secret"` // key of the reports' HMAC; the agent never receives it
	Argv        []string       `json:"argv"`
	Env         []string       `json:"env,omitempty"`
	Stdin       []byte         `json:"-"`
	Files       []sandbox.File `json:"-"`
	Collect     []string       `json:"collect,omitempty"`     // absolute paths of output files outside sandbox.OutputDir
	Timeout     time.Duration  `json:"timeout"`               // from the agent's start
	IdleTimeout time.Duration  `json:"idleTimeout,omitempty"` // time without output that ends the job; 0 disables it
	MaxStdout   int64          `json:"maxStdout"`             // bytes of standard output that init reports
	MaxWritten  int64          `json:"maxWritten"`            // bytes of standard output and error; more end the job
	Workspace   int64          `json:"workspace,omitempty"`   // bytes of a snapshot that follows the frame; 0: none
	Streamed    []StreamedFile `json:"streamed,omitempty"`    // files whose contents follow the snapshot, in order
	MaxSnapshot int64          `json:"maxSnapshot,omitempty"` // bytes of the snapshot that init reports; 0: none
	Egress      bool           `json:"egress,omitempty"`      // whether init forwards connections to the egress socket
}

// StreamedFile is the header of a file whose content follows the job frame.
type StreamedFile struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
	Size int64  `json:"size"`
}

// NewSecret returns a new random key for one job.
func NewSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails, see its documentation
	return secret
}

type jobHeader struct {
	Job
	StdinSize int          `json:"stdin"`
	FileSizes []fileHeader `json:"files,omitempty"`
}

type fileHeader struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
	Size int    `json:"size"`
}

// EncodeJob returns the job's frame. Its only error is ErrTooLarge.
func EncodeJob(j Job) ([]byte, error) {
	header := jobHeader{Job: j, StdinSize: len(j.Stdin)}
	body := [][]byte{j.Stdin}
	for _, f := range j.Files {
		header.FileSizes = append(header.FileSizes, fileHeader{Path: f.Path, Mode: f.Mode, Size: len(f.Data)})
		body = append(body, f.Data)
	}
	return encode(nil, jobBounds, header, body...)
}

// ReadJob reads the job frame from r. io.EOF means that r ended before the frame.
func ReadJob(r io.Reader) (Job, error) {
	var buf bytes.Buffer
	bodyStart, err := readFrame(r, &buf, jobBounds)
	if err != nil {
		return Job{}, err
	}
	var header jobHeader
	if err := decodeHeader(buf.Bytes()[prefixSize:bodyStart], &header); err != nil {
		return Job{}, err
	}
	job := header.Job
	if len(job.Secret) != secretSize {
		return Job{}, fmt.Errorf("%w: secret of %d bytes", ErrMalformed, len(job.Secret))
	}
	if len(job.Argv) == 0 {
		return Job{}, fmt.Errorf("%w: no program", ErrMalformed)
	}
	if job.Workspace < 0 {
		return Job{}, fmt.Errorf("%w: workspace of %d bytes", ErrMalformed, job.Workspace)
	}
	for _, f := range job.Streamed {
		if f.Size < 0 {
			return Job{}, fmt.Errorf("%w: streamed file of %d bytes", ErrMalformed, f.Size)
		}
	}
	body := bodyParser{rest: buf.Bytes()[bodyStart:]}
	job.Stdin = body.next(header.StdinSize)
	for _, f := range header.FileSizes {
		job.Files = append(job.Files, sandbox.File{Path: f.Path, Mode: f.Mode, Data: body.next(f.Size)})
	}
	if body.invalid || len(body.rest) > 0 {
		return Job{}, fmt.Errorf("%w: sizes do not match the body", ErrMalformed)
	}
	return job, nil
}

// bodyParser splits a body into parts of known sizes.
type bodyParser struct {
	rest    []byte
	invalid bool
}

func (p *bodyParser) next(size int) []byte {
	if size < 0 || size > len(p.rest) {
		p.invalid = true
		return nil
	}
	part := p.rest[:size:size]
	p.rest = p.rest[size:]
	return part
}
