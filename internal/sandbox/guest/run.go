package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/cgroup"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

const (
	// pollInterval is the time between two reads of the agent's output at most. A poll costs two system calls. It finds
	// what watchWrites does not tell, which does not behave the same on every runtime.
	pollInterval = 10 * time.Millisecond
	// reapTimeout is the time that killed processes have to end.
	reapTimeout = 2 * time.Second
	// stopGrace is the time between SIGTERM and SIGKILL. The Claude Code CLI ends within 0.14 s.
	stopGrace = time.Second
)

// run starts the agent, runs the job and reports it. If the agent is started ahead, it waits for its standard input,
// which comes with the job. An error means that init failed, not the agent.
func run(start frame.Start, reports *frame.Writer, score *oomScore) error {
	if start.Workspace > 0 {
		if err := restoreWorkspace(os.Stdin, start.Workspace); err != nil {
			return &filesError{err}
		}
	}
	if err := writeFiles(start.Files, writableDirs); err != nil {
		return &filesError{err}
	}
	var egress *bridge
	if start.Egress {
		var err error
		if egress, err = openBridge(context.Background(), sandbox.EgressAddr, sandbox.EgressSocket); err != nil {
			return err
		}
		defer egress.Close()
	}
	var hosts *names
	if start.Network != nil {
		var err error
		if hosts, err = openNames(context.Background(), nameServerAddr, sandbox.EgressSocket, start.Network.Ports); err != nil {
			return err
		}
		defer hosts.Close()
	}
	std, err := openStreams(sandbox.StreamDir, start.Ahead, reports)
	if err != nil {
		return err
	}
	defer std.Close()
	var agentPID int
	exited := make(chan int, 1)
	startAgentOnce := func() error {
		err := score.runRaised(func() (err error) {
			agentPID, err = startAgent(start, std)
			return err
		})
		if err == nil {
			go reapChildren(agentPID, exited)
		}
		return err
	}
	if start.Ahead {
		if err := startAgentOnce(); err != nil {
			return err
		}
	}

	job, err := awaitJob(exited)
	if err != nil {
		return err
	}
	if err := writeStreamedFiles(job.Streamed, os.Stdin, writableDirs); err != nil {
		return &filesError{err}
	}
	if err := writeFiles(job.Files, writableDirs); err != nil {
		return &filesError{err}
	}
	if egress != nil {
		egress.serve()
	}
	if hosts != nil {
		hosts.serve()
	}
	std.begin(job)
	// The report acknowledges the job. It is sent before the agent can do anything for it, so that no agent can make a job
	// that began look like one that did not.
	if err := reports.Write(frame.Report{Kind: frame.Started}); err != nil {
		return err
	}
	if err := std.stdin.write(job.Stdin); err != nil {
		return err
	}
	if !start.Ahead {
		if err := startAgentOnce(); err != nil {
			return err
		}
	}
	startedAt := time.Now()

	result, err := watch(job, std, exited)
	if err != nil {
		return err
	}
	if result.Reason == frame.Exit && result.ExitCode != 0 && std.total() == 0 && std.stdin.unread(job.Stdin) {
		return fmt.Errorf("the agent ended with exit code %d before it read its job", result.ExitCode)
	}
	if result.Reason != frame.Exit && result.Reason != frame.OutputLimit {
		if result.ExitCode, err = endGently(agentPID, std, exited); err != nil {
			return err
		}
	}
	result.Wall = time.Since(startedAt)
	// All other processes end before init reads the last output and the output files: none may change them meanwhile.
	_ = unix.Kill(-1, unix.SIGKILL)
	waitForChildren(exited)
	if err := std.follow(); err != nil {
		return err
	}
	if std.exceeds(job.MaxWritten) {
		result.Reason = frame.OutputLimit
	}
	c := &collector{reports: reports, remainingBytes: sandbox.MaxOutputBytes, remainingFiles: sandbox.MaxOutputFiles}
	if err := errors.Join(c.collectFolder(job.Folder), c.collect(job.Collect)); err != nil {
		return err
	}
	result.OmittedFileCount = c.omitted
	if job.MaxSnapshot > 0 {
		if result.Snapshot, err = snapshotWorkspace(reports, job.MaxSnapshot); err != nil {
			return err
		}
	}
	usage := cgroup.ReadUsage(cgroup.Root())
	result.StdoutBytes = std.stdout.total
	result.PeakMemory, result.CPUTime, result.OOMKills = usage.PeakMemory, usage.CPUTime, usage.OOMKills
	return reports.Write(frame.Report{Kind: frame.Ended, Result: result, Body: std.stderrEnds.bytes()})
}

// maxCPUBeforeJob bounds the CPU time of an agent that waits for its job. The Claude Code CLI needs 2 s to start.
const maxCPUBeforeJob = 30 * time.Second

// errNoJob means that the executor has closed the connection before it sent a job.
var errNoJob = errors.New("no job")

// awaitJob reads the job. It returns an error if the agent, which may have been started, ends before, or works although
// it has nothing to do.
func awaitJob(exited <-chan int) (frame.Job, error) {
	type received struct {
		job frame.Job
		err error
	}
	jobs := make(chan received, 1)
	go func() {
		job, err := frame.ReadJob(os.Stdin)
		jobs <- received{job, err}
	}()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case r := <-jobs:
			if errors.Is(r.err, io.EOF) {
				return r.job, errNoJob
			}
			return r.job, r.err
		case code := <-exited:
			return frame.Job{}, fmt.Errorf("the agent ended with exit code %d before its job came", code)
		case <-tick.C:
			if used := cgroup.ReadUsage(cgroup.Root()).CPUTime; used > maxCPUBeforeJob {
				return frame.Job{}, fmt.Errorf("the agent used %s of CPU time before its job came", used)
			}
		}
	}
}

// filesError means that the files with which the job begins cannot be written. They would not be on another executor.
type filesError struct{ err error }

func (e *filesError) Error() string { return e.err.Error() }
func (e *filesError) Unwrap() error { return e.err }

// watch follows the agent's output until the job ends. The result has the reason and the exit code only.
func watch(job frame.Job, std *streams, exited <-chan int) (frame.Result, error) {
	deadline := time.NewTimer(job.Timeout)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	written, stop := watchWrites(std.stdout.file, std.stderr.file)
	defer stop()
	controls, disconnected := watchExecutor(os.Stdin)
	outputBytes, lastOutput := int64(0), time.Now()
	for {
		select {
		case code := <-exited:
			return frame.Result{Reason: frame.Exit, ExitCode: code}, nil
		case <-deadline.C:
			return killedFor(frame.Deadline), nil
		case c := <-controls:
			if c.Stop {
				return killedFor(frame.Stopped), nil
			}
			lastOutput = time.Now()
		case err := <-disconnected:
			return frame.Result{}, err
		case <-written:
		case <-tick.C:
		}
		if err := std.follow(); err != nil {
			return frame.Result{}, err
		}
		total := std.total()
		switch {
		case std.exceeds(job.MaxWritten):
			return killedFor(frame.OutputLimit), nil
		case total != outputBytes:
			outputBytes, lastOutput = total, time.Now()
		case job.IdleTimeout > 0 && time.Since(lastOutput) >= job.IdleTimeout:
			return killedFor(frame.NoOutput), nil
		}
	}
}

func killedFor(reason frame.Reason) frame.Result {
	return frame.Result{Reason: reason, ExitCode: sandbox.SIGKILLExitCode}
}

// endGently sends SIGTERM to the agent and waits for its end, for at most stopGrace. It returns the exit code.
func endGently(agentPID int, std *streams, exited <-chan int) (int, error) {
	_ = unix.Kill(agentPID, unix.SIGTERM)
	limit := time.NewTimer(stopGrace)
	defer limit.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		select {
		case code := <-exited:
			return code, nil
		case <-limit.C:
			return sandbox.SIGKILLExitCode, nil
		case <-tick.C:
		}
		if err := std.follow(); err != nil {
			return 0, err
		}
	}
}

// waitForChildren returns when init is the only process, or after reapTimeout.
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

// watchExecutor reads what may follow the job on standard input: control frames. It sends an error when standard input
// ends. The Engine closes it when the executor's connection ends, so a job ends with its executor.
func watchExecutor(stdin io.Reader) (<-chan frame.Control, <-chan error) {
	controls, ended := make(chan frame.Control, 1), make(chan error, 1)
	go func() {
		for {
			c, err := frame.ReadControl(stdin)
			if err != nil {
				ended <- err
				return
			}
			if c.Stop {
				controls <- c
				continue
			}
			select {
			case controls <- c:
			default: // the one before has not been noticed yet, and says the same
			}
		}
	}()
	return controls, ended
}
