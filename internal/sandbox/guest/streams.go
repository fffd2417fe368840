package guest

import (
	"fmt"
	"os"

	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// streams are the agent's three standard streams. They are files of a tmpfs of their own (sandbox.StreamDir), so an
// agent that fills /tmp can still write output.
type streams struct {
	stdin          *os.File
	stdout, stderr *output
	stderrEnds     ends
}

// openStreams creates the streams in dir. Standard input has its content. The start of standard output goes to reports.
func openStreams(dir string, job frame.Job, reports *frame.Writer) (*streams, error) {
	s := &streams{}
	if err := s.open(dir, job, reports); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *streams) open(dir string, job frame.Job, reports *frame.Writer) (err error) {
	if s.stdin, err = createUnlinked(dir, 0); err != nil {
		return err
	}
	if _, err := s.stdin.WriteAt(job.Stdin, 0); err != nil {
		return fmt.Errorf("agent input: %w", err)
	}
	stdoutHead := &head{remaining: job.MaxStdout, reports: reports}
	if s.stdout, err = newOutput(dir, frame.MaxBody, stdoutHead.write); err != nil {
		return err
	}
	s.stderr, err = newOutput(dir, frame.MaxBody, s.stderrEnds.write)
	return err
}

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
		_ = s.stdin.Close()
	}
	for _, o := range []*output{s.stdout, s.stderr} {
		if o != nil {
			o.Close()
		}
	}
}
