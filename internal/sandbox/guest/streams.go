package guest

import (
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// streams are the agent's three standard streams. The outputs are files of a tmpfs of their own (sandbox.StreamDir), so
// an agent that fills /tmp can still write output.
type streams struct {
	stdin          *input
	stdout, stderr *output
	stdoutHead     *head
	stderrEnds     ends
}

// openStreams creates the streams in dir. The start of standard output goes to reports, after begin. An agent that is
// started ahead can wait for its standard input.
func openStreams(dir string, ahead bool, reports *frame.Writer) (*streams, error) {
	s := &streams{}
	if err := s.open(dir, ahead, reports); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *streams) open(dir string, ahead bool, reports *frame.Writer) (err error) {
	if s.stdin, err = newInput(dir, ahead); err != nil {
		return err
	}
	s.stdoutHead = &head{reports: reports}
	if s.stdout, err = newOutput(dir, frame.MaxBody, s.stdoutHead.write); err != nil {
		return err
	}
	s.stderr, err = newOutput(dir, frame.MaxBody, s.stderrEnds.write)
	return err
}

// begin sets the limit of a job. follow must not be called before.
func (s *streams) begin(job frame.Job) { s.stdoutHead.remaining = job.MaxStdout }

// follow reads what the agent wrote since the last call.
func (s *streams) follow() error {
	for _, o := range []*output{s.stdout, s.stderr} {
		if err := o.follow(); err != nil {
			return err
		}
	}
	return nil
}

// total returns the number of bytes that follow has read.
func (s *streams) total() int64 { return s.stdout.total + s.stderr.total }

// exceeds reports whether the agent wrote more than limit bytes, or more than the outputs may occupy.
func (s *streams) exceeds(limit int64) bool {
	return s.total() > limit || s.stdout.tooLarge() || s.stderr.tooLarge()
}

func (s *streams) Close() {
	if s.stdin != nil {
		s.stdin.Close()
	}
	for _, o := range []*output{s.stdout, s.stderr} {
		if o != nil {
			o.Close()
		}
	}
}
