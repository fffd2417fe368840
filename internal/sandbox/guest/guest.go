// Package guest is sandbox-init, PID 1 of a sandbox. It reads a start frame and a job frame from standard input, runs
// the agent as its child process, and writes reports about it to standard output, the last of them with the agent's
// result. Then it ends, and the container with it.
//
// It runs as the agent's own user and has no privilege. It never trusts a file or a process that the agent can change,
// never gives the job's secret to the agent, and never runs a second job.
package guest

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// Main runs one job. It returns nil after the last report, even if that report is a fault. It also returns nil if the
// executor closes the connection before it has sent a job.
func Main() error {
	// At the end of a job, init kills every process that it can see.
	if os.Getpid() != 1 {
		return errors.New("sandbox-init runs only as PID 1 of a container")
	}
	score, err := harden()
	if err != nil {
		return err
	}
	defer score.Close()

	start, err := frame.ReadStart(os.Stdin)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read start: %w", err)
	}
	reports := frame.NewWriter(os.Stdout, start.Secret)
	if err := run(start, reports, score); err != nil {
		if errors.Is(err, errNoJob) {
			return nil
		}
		var missing *programError
		var refused *filesError
		return reports.Write(frame.Report{
			Kind: frame.Fault, NotStarted: errors.As(err, &missing), FilesRefused: errors.As(err, &refused), Body: []byte(err.Error()),
		})
	}
	return nil
}
