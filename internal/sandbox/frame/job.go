package frame

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"time"
)

// Bounds of a job frame: a system prompt may be an argument (128 KiB is what
// the kernel takes in one), and files are a repository's worth at most.
var jobBounds = bounds{header: 1 << 20, body: 64 << 20}

const secretSize = 32

// Job is what init is told, once.
type Job struct {
	Secret      []byte // key of the reports' codes; never given to the agent
	Argv        []string
	Env         []string
	Stdin       []byte
	Files       []File
	Collect     []string      // absolute paths of files that come back besides the output folder's
	Timeout     time.Duration // from the agent's start
	IdleTimeout time.Duration // without output, that ends the job; 0: it does not
	MaxStdout   int64         // bytes of standard output that are reported
	MaxOutput   int64         // bytes of output, kept or not, that end the job
	Egress      bool          // whether to bridge the egress socket
}

// File is laid down before the agent starts. Its Path is absolute.
type File struct {
	Path string
	Mode uint32
	Data []byte
}

// NewSecret makes the key of one job.
func NewSecret() []byte {
	secret := make([]byte, secretSize)
	_, _ = rand.Read(secret) // never fails, see its documentation
	return secret
}

type jobHeader struct {
	Secret      []byte        `json:"secret"`
	Argv        []string      `json:"argv"`
	Env         []string      `json:"env,omitempty"`
	Stdin       int           `json:"stdin"`
	Files       []fileHeader  `json:"files,omitempty"`
	Collect     []string      `json:"collect,omitempty"`
	Timeout     time.Duration `json:"timeout"`
	IdleTimeout time.Duration `json:"quiet,omitempty"`
	MaxStdout   int64         `json:"keep"`
	MaxOutput   int64         `json:"total"`
	Egress      bool          `json:"egress,omitempty"`
}

type fileHeader struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
	Size int    `json:"size"`
}

// EncodeJob makes the job's frame. It fails with ErrTooLarge only.
func EncodeJob(j Job) ([]byte, error) {
	header := jobHeader{
		Secret: j.Secret, Argv: j.Argv, Env: j.Env, Stdin: len(j.Stdin),
		Collect: j.Collect, Timeout: j.Timeout, IdleTimeout: j.IdleTimeout, MaxStdout: j.MaxStdout, MaxOutput: j.MaxOutput, Egress: j.Egress,
	}
	body := [][]byte{j.Stdin}
	for _, f := range j.Files {
		header.Files = append(header.Files, fileHeader{Path: f.Path, Mode: f.Mode, Size: len(f.Data)})
		body = append(body, f.Data)
	}
	return encode(nil, jobBounds, header, body...)
}

// ReadJob reads the one job frame from r. io.EOF means that there will be none.
func ReadJob(r io.Reader) (Job, error) {
	var buf bytes.Buffer
	bodyAt, err := readFrame(r, &buf, jobBounds)
	if err != nil {
		return Job{}, err
	}
	var header jobHeader
	if err := decodeHeader(buf.Bytes()[prefixSize:bodyAt], &header); err != nil {
		return Job{}, err
	}
	if len(header.Secret) != secretSize {
		return Job{}, fmt.Errorf("%w: secret of %d bytes", ErrMalformed, len(header.Secret))
	}
	if len(header.Argv) == 0 {
		return Job{}, fmt.Errorf("%w: no program", ErrMalformed)
	}
	job := Job{
		Secret: header.Secret, Argv: header.Argv, Env: header.Env,
		Collect: header.Collect, Timeout: header.Timeout, IdleTimeout: header.IdleTimeout, MaxStdout: header.MaxStdout, MaxOutput: header.MaxOutput, Egress: header.Egress,
	}
	body := bodyParser{rest: buf.Bytes()[bodyAt:]}
	job.Stdin = body.next(header.Stdin)
	for _, f := range header.Files {
		job.Files = append(job.Files, File{Path: f.Path, Mode: f.Mode, Data: body.next(f.Size)})
	}
	if body.invalid || len(body.rest) > 0 {
		return Job{}, fmt.Errorf("%w: sizes do not add up to the body", ErrMalformed)
	}
	return job, nil
}

// parts cuts a body into its pieces.
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
