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
	streamDir = "/run/output"
	// look is how often the agent's output is looked at. Not inotify: looking
	// costs two system calls, and works the same on every runtime.
	pollInterval    = 10 * time.Millisecond
	maxStderr       = 16 << 10
	sigkillExitCode = 128 + int(unix.SIGKILL)
	// lastBreath is how long killed processes may take to be gone.
	reapTimeout = 2 * time.Second
)

// run does the job and reports it. An error means that init could not.
func runJob(job frame.Job, reports *frame.Writer, score *oomScore) error {
	if err := writeFiles(job.Files, writableDirs); err != nil {
		return err
	}
	if job.Egress {
		b, err := openBridge(context.Background(), sandbox.EgressAddr, sandbox.EgressSocket)
		if err != nil {
			return err
		}
		defer b.Close()
	}
	stdin, err := createUnlinked(streamDir, 0)
	if err != nil {
		return err
	}
	defer stdin.Close()
	if _, err := stdin.WriteAt(job.Stdin, 0); err != nil {
		return err
	}
	stdoutHead, stderrTail := &head{remaining: job.MaxStdout, reports: reports}, &tail{size: maxStderr}
	stdout, err := newOutput(streamDir, frame.MaxBody, stdoutHead.write)
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := newOutput(streamDir, frame.MaxBody, stderrTail.write)
	if err != nil {
		return err
	}
	defer stderr.Close()

	var agent int
	err = score.runRaised(func() (err error) {
		agent, err = startAgent(job, stdin, stdout.file, stderr.file)
		return err
	})
	if err != nil {
		return err
	}
	startedAt := time.Now()
	exited := make(chan int, 1)
	go reapChildren(agent, exited)
	if err := reports.Write(frame.Report{Kind: frame.Started}); err != nil {
		return err
	}

	result, err := watch(job, stdout, stderr, exited)
	if err != nil {
		return err
	}
	result.Wall = time.Since(startedAt)
	// What is left goes now, so that nobody writes between here and the last
	// look at what the agent leaves.
	_ = unix.Kill(-1, unix.SIGKILL)
	waitForChildren(exited)
	for _, o := range []*output{stdout, stderr} {
		if err := o.follow(); err != nil {
			return err
		}
	}
	if stdout.total+stderr.total > job.MaxOutput {
		result.Reason = frame.OutputLimit
	}
	if result.Reason == frame.Exit {
		c := &collector{reports: reports, remainingBytes: sandbox.MaxOutputBytes, remainingFiles: sandbox.MaxOutputFiles}
		if err := c.collect(job.Collect); err != nil {
			return err
		}
		result.OmittedFileCount = c.omitted
	}
	used := readUsage(os.DirFS("/sys/fs/cgroup"))
	result.Output = stdout.total
	result.Memory, result.CPU, result.OOMKills = used.memory, used.cpu, used.oomKills
	return reports.Write(frame.Report{Kind: frame.Ended, Result: result, Body: stderrTail.buf})
}

// watch follows the agent's output until something ends the job.
func watch(job frame.Job, stdout, stderr *output, exited <-chan int) (frame.Result, error) {
	deadline := time.NewTimer(job.Timeout)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	disconnected := watchExecutor(os.Stdin)
	outputBytes, lastOutput := int64(0), time.Now()
	for {
		select {
		case code := <-exited:
			return frame.Result{Reason: frame.Exit, ExitCode: code}, nil
		case <-deadline.C:
			return frame.Result{Reason: frame.Deadline, ExitCode: sigkillExitCode}, nil
		case err := <-disconnected:
			return frame.Result{}, err
		case <-tick.C:
		}
		for _, o := range []*output{stdout, stderr} {
			if err := o.follow(); err != nil {
				return frame.Result{}, err
			}
		}
		if stdout.total+stderr.total > job.MaxOutput {
			return frame.Result{Reason: frame.OutputLimit, ExitCode: sigkillExitCode}, nil
		}
		if total := stdout.total + stderr.total; total != outputBytes {
			outputBytes, lastOutput = total, time.Now()
		} else if job.IdleTimeout > 0 && time.Since(lastOutput) >= job.IdleTimeout {
			return frame.Result{Reason: frame.NoOutput, ExitCode: sigkillExitCode}, nil
		}
	}
}

// awaitLast returns when no process is left but init.
func waitForChildren(exited <-chan int) {
	limit := time.NewTimer(reapTimeout)
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
func watchExecutor(stdin io.Reader) <-chan error {
	disconnected := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, stdin)
		if err == nil {
			err = io.EOF
		}
		disconnected <- err
	}()
	return disconnected
}
