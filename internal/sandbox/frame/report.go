package frame

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// MaxBody is the length of one report's body at most, in bytes.
const MaxBody = 64 << 10

var reportBounds = bounds{header: 4 << 10, body: MaxBody}

// Kind is the kind of a report.
type Kind string

// The kinds of reports. Started is the first report, unless init fails before it. Ended or Fault is the last one. Files
// come one after another: a FileStart, then its content in as many FileContent reports as it needs.
const (
	Started     Kind = "started"      // the job is acknowledged; the agent starts now
	Stdout      Kind = "stdout"       // the body is the next part of the agent's standard output
	FileStart   Kind = "file_start"   // the agent has ended; the body is the path of an output file
	FileContent Kind = "file_content" // the body is the next part of that file
	Snapshot    Kind = "snapshot"     // the body is the next part of the workspace's snapshot
	Ended       Kind = "result"       // the agent has ended; the body is the end of its standard error
	Fault       Kind = "fault"        // init failed; the body is its error
)

// Report is one frame from init.
type Report struct {
	Kind   Kind
	Result Result // of Ended
	Mode   uint32 // permission bits, of FileStart
	// NotStarted is of a Fault that may come after Started: the image does not have the agent's program, or the kernel
	// cannot execute it, so that no agent ran. An init of an older release never sets it.
	NotStarted bool
	// FilesRefused is of a Fault before Started: the files of the job, or its workspace, cannot be written.
	FilesRefused bool
	Body         []byte
}

// Result is how the agent ended, as init observed it.
type Result struct {
	Reason           Reason                `json:"reason"`
	ExitCode         int                   `json:"exitCode"`
	StdoutBytes      int64                 `json:"stdoutBytes"`        // bytes written to standard output, reported or not
	OmittedFileCount int                   `json:"omittedFileCount"`   // entries of the output folder that init did not report
	Snapshot         sandbox.SnapshotState `json:"snapshot,omitempty"` // empty: the job asked for none
	OOMKills         int64                 `json:"oomKills"`           // in the container's control group; -1: unknown
	Wall             time.Duration         `json:"wall"`
	PeakMemory       int64                 `json:"peakMemory"` // bytes; 0: unknown
	CPUTime          time.Duration         `json:"cpuTime"`
}

// Reason is the reason why the job ended.
type Reason string

// The reasons. All except Exit mean that init ended the agent.
const (
	Exit        Reason = "exit"         // the agent ended by itself
	Deadline    Reason = "deadline"     // Job.Timeout expired
	OutputLimit Reason = "output_limit" // the agent wrote more than Job.MaxWritten, or much faster than init can read
	NoOutput    Reason = "no_output"    // the agent wrote nothing for Job.IdleTimeout
	Stopped     Reason = "stopped"      // the executor sent Control.Stop
)

type reportHeader struct {
	Seq    uint64  `json:"seq"`
	Kind   Kind    `json:"kind"`
	Mode   uint32  `json:"mode,omitempty"`
	Result *Result `json:"result,omitempty"`

	NotStarted   bool `json:"notStarted,omitempty"`
	FilesRefused bool `json:"filesRefused,omitempty"`
}

// Writer writes reports. It is not safe for concurrent use.
type Writer struct {
	w   io.Writer
	mac hash.Hash
	seq uint64
	buf []byte
}

// NewWriter returns a Writer that authenticates reports with the job's secret.
func NewWriter(w io.Writer, secret []byte) *Writer {
	return &Writer{w: w, mac: hmac.New(sha256.New, secret)}
}

// Write writes one report with a single call of the underlying writer.
func (w *Writer) Write(r Report) error {
	header := reportHeader{Seq: w.seq + 1, Kind: r.Kind, Mode: r.Mode, NotStarted: r.NotStarted, FilesRefused: r.FilesRefused}
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

// Reader reads reports and rejects forged ones. It has at most one frame in memory and is not safe for concurrent use.
type Reader struct {
	r   io.Reader
	mac hash.Hash
	seq uint64
	buf bytes.Buffer
}

// NewReader returns a Reader that verifies reports with the job's secret.
func NewReader(r io.Reader, secret []byte) *Reader {
	return &Reader{r: r, mac: hmac.New(sha256.New, secret)}
}

// Next returns the next report. Its Body is valid until the next call. The errors are io.EOF between two frames,
// io.ErrUnexpectedEOF within one, ErrMalformed, ErrVersion, ErrTooLarge, ErrForged, and those of the underlying reader.
// After an error the stream is unusable.
func (r *Reader) Next() (Report, error) {
	r.buf.Reset()
	bodyStart, err := readFrame(r.r, &r.buf, reportBounds)
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
		return Report{}, fmt.Errorf("%w: HMAC does not match", ErrForged)
	}
	var header reportHeader
	if err := decodeHeader(raw[prefixSize:bodyStart], &header); err != nil {
		return Report{}, err
	}
	r.seq++
	if header.Seq != r.seq {
		return Report{}, fmt.Errorf("%w: sequence number %d, expected %d", ErrForged, header.Seq, r.seq)
	}
	report := Report{Kind: header.Kind, Mode: header.Mode, NotStarted: header.NotStarted, FilesRefused: header.FilesRefused, Body: raw[bodyStart:signed]}
	if header.Kind == Ended {
		if header.Result == nil {
			return Report{}, fmt.Errorf("%w: report of the end without a result", ErrMalformed)
		}
		report.Result = *header.Result
	}
	return report, nil
}
