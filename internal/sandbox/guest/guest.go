// Package guest is PID 1 of a sandbox: it waits for one job on standard input,
// runs the agent as its child, reports what happened on standard output, and
// ends. It runs as the agent's own user and trusts nothing that the agent can
// touch.
package guest

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// Main runs one job. It returns nil once the last report is written, also when
// that report is a fault, and when the executor went away before it had a job.
func Main() error {
	// Ending a job kills every process in sight.
	if os.Getpid() != 1 {
		return errors.New("sandbox-init is PID 1 of a container, not a program to be called")
	}
	score, err := harden()
	if err != nil {
		return err
	}
	defer score.Close()

	job, err := frame.ReadJob(os.Stdin)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("job frame: %w", err)
	}
	reports := frame.NewWriter(os.Stdout, job.Secret)
	if err := runJob(job, reports, score); err != nil {
		return reports.Write(frame.Report{Kind: frame.Fault, Body: []byte(err.Error())})
	}
	return nil
}
