package frame

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"time"
)

// MaxBody is the most that one report carries, in bytes.
const MaxBody = 64 << 10

var reportBounds = bounds{header: 4 << 10, body: MaxBody}

// Kind says what a report is about.
type Kind string

// A Started comes first, unless there is a Fault; an Ended or a Fault last. Of
// files there is one at a time: a Left, then as many Content as it takes.
const (
	Started     Kind = "started" // the agent's process runs
	Stdout      Kind = "stdout"  // the body is the next piece of its standard output
	FileStart   Kind = "file"    // the agent ended, and left the file that the body names
	FileContent Kind = "content" // the body is the next piece of that file
	Ended       Kind = "result"  // the agent ended; the body is the end of its standard error
	Fault       Kind = "fault"   // init could not do its part; the body says why
)

// Report is one frame from init.
type Report struct {
	Kind   Kind
	Result Result // of an Ended
	Mode   uint32 // permission bits, of a Left
	Body   []byte
}

// Result is how the agent ended, as init saw it.
type Result struct {
	Reason           Reason        `json:"reason"`
	ExitCode         int           `json:"exitCode"`
	Output           int64         `json:"output"`   // bytes written to standard output, reported or not
	OmittedFileCount int           `json:"leftOut"`  // entries of the output folder that were not passed on
	OOMKills         int64         `json:"oomKills"` // of the container's memory group; -1: not to be seen from inside
	Wall             time.Duration `json:"wall"`
	Memory           int64         `json:"memory"` // peak, bytes; 0: not to be seen
	CPU              time.Duration `json:"cpu"`
}

// Reason says what made init end the job.
type Reason string

// The agent ended by itself, or was ended by one of Job's limits.
const (
	Exit        Reason = "exit"
	Deadline    Reason = "deadline"
	OutputLimit Reason = "flood"   // Job.Total was passed
	NoOutput    Reason = "silence" // for as long as Job.Quiet
)

type reportHeader struct {
	Seq    uint64  `json:"seq"`
	Kind   Kind    `json:"kind"`
	Mode   uint32  `json:"mode,omitempty"`
	Result *Result `json:"result,omitempty"`
}

// Writer sends reports. It belongs to one goroutine.
type Writer struct {
	w   io.Writer
	mac hash.Hash
	seq uint64
	buf []byte
}

// NewWriter returns a Writer that signs with the job's secret.
func NewWriter(w io.Writer, secret []byte) *Writer {
	return &Writer{w: w, mac: hmac.New(sha256.New, secret)}
}

// Write sends one report, in one write to the underlying writer.
func (w *Writer) Write(r Report) error {
	header := reportHeader{Seq: w.seq + 1, Kind: r.Kind, Mode: r.Mode}
	if r.Kind == Ended {
		header.Result = &r.Result
	}
	buf, err := encode(w.buf[:0], reportBounds, header, r.Body)
	if err != nil {
		return err
	}
	w.seq++
	w.mac.Reset()
	w.mac.Write(buf)
	w.buf = w.mac.Sum(buf)
	_, err = w.w.Write(w.buf)
	return err
}

// Reader receives reports and lets no false one through. It holds at most one
// frame in memory and belongs to one goroutine.
type Reader struct {
	r   io.Reader
	mac hash.Hash
	seq uint64
	buf bytes.Buffer
}

// NewReader returns a Reader that checks with the job's secret.
func NewReader(r io.Reader, secret []byte) *Reader {
	return &Reader{r: r, mac: hmac.New(sha256.New, secret)}
}

// Next returns the next report; its Body is valid until the next call. Errors
// are io.EOF between two frames, io.ErrUnexpectedEOF within one, ErrMalformed,
// ErrTooLarge and ErrForged, or those of the underlying reader. None can be
// recovered from: the stream has lost its meaning.
func (r *Reader) Next() (Report, error) {
	r.buf.Reset()
	bodyAt, err := readFrame(r.r, &r.buf, reportBounds)
	if err != nil {
		return Report{}, err
	}
	signed := r.buf.Len()
	if _, err := io.CopyN(&r.buf, r.r, sha256.Size); err != nil {
		return Report{}, unexpectedEOF(err)
	}
	raw := r.buf.Bytes()
	r.mac.Reset()
	r.mac.Write(raw[:signed])
	if !hmac.Equal(r.mac.Sum(nil), raw[signed:]) {
		return Report{}, fmt.Errorf("%w: code does not match", ErrForged)
	}
	var header reportHeader
	if err := decodeHeader(raw[prefixSize:bodyAt], &header); err != nil {
		return Report{}, err
	}
	r.seq++
	if header.Seq != r.seq {
		return Report{}, fmt.Errorf("%w: number %d where %d was due", ErrForged, header.Seq, r.seq)
	}
	report := Report{Kind: header.Kind, Mode: header.Mode, Body: raw[bodyAt:signed]}
	if header.Kind == Ended {
		if header.Result == nil {
			return Report{}, fmt.Errorf("%w: result without its facts", ErrMalformed)
		}
		report.Result = *header.Result
	}
	return report, nil
}
