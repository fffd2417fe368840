package frame

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// jobBounds limit a job frame. The body can hold the files of a repository.
var jobBounds = bounds{header: 1 << 20, body: 64 << 20}

// Job is the content of the job frame, the second one: what the agent does. Standard input and files travel in the
// frame's body, the rest in its header.
type Job struct {
	Stdin       []byte         `json:"-"`
	Files       []sandbox.File `json:"-"`
	Collect     []string       `json:"collect,omitempty"`     // absolute paths of output files outside sandbox.OutputDir
	Folder      string         `json:"folder,omitempty"`      // a folder that is collected as one file; empty: none
	Timeout     time.Duration  `json:"timeout"`               // from the agent's start, or from the job's arrival
	IdleTimeout time.Duration  `json:"idleTimeout,omitempty"` // time without output that ends the job; 0 disables it
	MaxStdout   int64          `json:"maxStdout"`             // bytes of standard output that init reports
	MaxWritten  int64          `json:"maxWritten"`            // bytes of standard output and error; more end the job
	Streamed    []StreamedFile `json:"streamed,omitempty"`    // files whose contents follow the frame, in order
	MaxSnapshot int64          `json:"maxSnapshot,omitempty"` // bytes of the snapshot that init reports; 0: none
}

// StreamedFile is the header of a file whose content follows the job frame.
type StreamedFile struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
	Size int64  `json:"size"`
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
	var files [][]byte
	header.FileSizes, files = encodeFiles(j.Files)
	return encode(nil, jobBounds, header, append([][]byte{j.Stdin}, files...)...)
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
	for _, f := range job.Streamed {
		if f.Size < 0 {
			return Job{}, fmt.Errorf("%w: streamed file of %d bytes", ErrMalformed, f.Size)
		}
	}
	body := bodyParser{rest: buf.Bytes()[bodyStart:]}
	job.Stdin = body.next(header.StdinSize)
	if job.Files = body.files(header.FileSizes); !body.complete() {
		return Job{}, fmt.Errorf("%w: sizes do not match the body", ErrMalformed)
	}
	return job, nil
}

func encodeFiles(files []sandbox.File) (headers []fileHeader, body [][]byte) {
	for _, f := range files {
		headers = append(headers, fileHeader{Path: f.Path, Mode: f.Mode, Size: len(f.Data)})
		body = append(body, f.Data)
	}
	return headers, body
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

func (p *bodyParser) files(headers []fileHeader) (files []sandbox.File) {
	for _, f := range headers {
		files = append(files, sandbox.File{Path: f.Path, Mode: f.Mode, Data: p.next(f.Size)})
	}
	return files
}

// complete reports whether the parts were the whole body.
func (p *bodyParser) complete() bool { return !p.invalid && len(p.rest) == 0 }
