package guest

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

const (
	// outputDir is a tmpfs of its own: an agent that fills /tmp does not lose
	// its output for it.
	outputDir = "/run/output"
	// look is how often the agent's output is looked at. Not inotify: looking
	// costs two system calls, and works the same on every runtime.
	look       = 10 * time.Millisecond
	stderrKept = 16 << 10
	killedCode = 128 + int(unix.SIGKILL)
	// lastBreath is how long killed processes may take to be gone.
	lastBreath = 2 * time.Second
)

// run does the job and reports it. An error means that init could not.
func run(job frame.Job, reports *frame.Writer, badness *oomScore) error {
	if err := layDown(job.Files, writable); err != nil {
		return err
	}
	if job.Egress {
		b, err := openBridge(context.Background(), sandbox.EgressAddr, sandbox.EgressSocket)
		if err != nil {
			return err
		}
		defer b.Close()
	}
	stdin, err := unlinked(outputDir, 0)
	if err != nil {
		return err
	}
	defer stdin.Close()
	if _, err := stdin.WriteAt(job.Stdin, 0); err != nil {
		return err
	}
	kept, last := &head{left: job.Keep, reports: reports}, &tail{size: stderrKept}
	stdout, err := newOutput(outputDir, frame.MaxBody, kept.write)
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := newOutput(outputDir, frame.MaxBody, last.write)
	if err != nil {
		return err
	}
	defer stderr.Close()

	var agent int
	err = badness.raised(func() (err error) {
		agent, err = start(job, stdin, stdout.file, stderr.file)
		return err
	})
	if err != nil {
		return err
	}
	began := time.Now()
	exited := make(chan int, 1)
	go reap(agent, exited)
	if err := reports.Write(frame.Report{Kind: frame.Started}); err != nil {
		return err
	}

	result, err := watch(job, stdout, stderr, exited)
	if err != nil {
		return err
	}
	result.Wall = time.Since(began)
	// What is left goes now, so that nobody writes between here and the last
	// look at what the agent leaves.
	_ = unix.Kill(-1, unix.SIGKILL)
	awaitLast(exited)
	for _, o := range []*output{stdout, stderr} {
		if err := o.follow(); err != nil {
			return err
		}
	}
	if stdout.total+stderr.total > job.Total {
		result.Reason = frame.Flood
	}
	if result.Reason == frame.Exit {
		c := &collector{reports: reports, bytes: sandbox.MaxOut, files: sandbox.MaxOutFiles}
		if err := c.collect(job.Collect); err != nil {
			return err
		}
		result.LeftOut = c.leftOut
	}
	used := readUsage(os.DirFS("/sys/fs/cgroup"))
	result.Output = stdout.total
	result.Memory, result.CPU, result.OOMKills = used.memory, used.cpu, used.oomKills
	return reports.Write(frame.Report{Kind: frame.Ended, Result: result, Body: last.kept})
}

// watch follows the agent's output until something ends the job.
func watch(job frame.Job, stdout, stderr *output, exited <-chan int) (frame.Result, error) {
	deadline := time.NewTimer(job.Timeout)
	defer deadline.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	gone := executorGone(os.Stdin)
	heard, lastHeard := int64(0), time.Now()
	for {
		select {
		case code := <-exited:
			return frame.Result{Reason: frame.Exit, ExitCode: code}, nil
		case <-deadline.C:
			return frame.Result{Reason: frame.Deadline, ExitCode: killedCode}, nil
		case err := <-gone:
			return frame.Result{}, err
		case <-tick.C:
		}
		for _, o := range []*output{stdout, stderr} {
			if err := o.follow(); err != nil {
				return frame.Result{}, err
			}
		}
		if stdout.total+stderr.total > job.Total {
			return frame.Result{Reason: frame.Flood, ExitCode: killedCode}, nil
		}
		if total := stdout.total + stderr.total; total != heard {
			heard, lastHeard = total, time.Now()
		} else if job.Quiet > 0 && time.Since(lastHeard) >= job.Quiet {
			return frame.Result{Reason: frame.Silence, ExitCode: killedCode}, nil
		}
	}
}

// awaitLast returns when no process is left but init.
func awaitLast(exited <-chan int) {
	limit := time.NewTimer(lastBreath)
	defer limit.Stop()
	for {
		select {
		case _, ok := <-exited:
			if !ok {
				return
			}
		case <-limit.C:
			return
		}
	}
}

// executorGone tells when standard input ends: the Engine closes it when the
// executor's connection does, so a job does not outlive its executor.
func executorGone(stdin io.Reader) <-chan error {
	gone := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, stdin)
		if err == nil {
			err = io.EOF
		}
		gone <- err
	}()
	return gone
}
