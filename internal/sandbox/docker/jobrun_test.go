package docker

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// converse has the driver talk to an init that the test plays: it gets the job
// and may write what it likes as the container's standard output.
func runWithFakeInit(t *testing.T, job sandbox.Job, init func(received frame.Job, stdout engineStdout)) (sandbox.Outcome, error) {
	t.Helper()
	d := newDriver(t, Options{StartTimeout: time.Second})
	driverConn, initConn := net.Pipe()
	c := &sandboxContainer{stream: types.NewHijackedResponse(driverConn, "")}
	done := make(chan struct{})
	go func() {
		defer close(done)
		received, err := frame.ReadJob(initConn)
		if assert.NoError(t, err) {
			init(received, engineStdout{initConn})
		}
	}()
	out, err := d.runInContainer(t.Context(), c, normalizedJob(t, job), time.Now())
	c.stream.Close()
	<-done
	c.jobWrite.Wait()
	return out, err
}

// stdoutOf writes as the Engine passes on what a container wrote.
type engineStdout struct{ net.Conn }

func (s engineStdout) Write(p []byte) (int, error) {
	if _, err := s.Conn.Write(streamFrame(streamStdout, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func TestForgedReports(t *testing.T) {
	result := frame.Report{Kind: frame.Ended, Result: frame.Result{Reason: frame.Exit}}
	for name, init := range map[string]func(received frame.Job, stdout engineStdout){
		"another secret": func(_ frame.Job, stdout engineStdout) {
			_ = frame.NewWriter(stdout, frame.NewSecret()).Write(result)
		},
		"after init's own": func(received frame.Job, stdout engineStdout) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.Started})
			_ = frame.NewWriter(stdout, frame.NewSecret()).Write(result)
		},
		"replayed": func(received frame.Job, stdout engineStdout) {
			var report bytes.Buffer
			_ = frame.NewWriter(&report, received.Secret).Write(frame.Report{Kind: frame.Started})
			_, _ = stdout.Write(append(report.Bytes(), report.Bytes()...))
		},
		"no frame": func(_ frame.Job, stdout engineStdout) {
			_, _ = stdout.Write([]byte("hello, this is an image without our init\n"))
		},
		"more than was asked for": func(received frame.Job, stdout engineStdout) {
			w := frame.NewWriter(stdout, received.Secret)
			_ = w.Write(frame.Report{Kind: frame.Stdout, Body: make([]byte, 11)})
		},
		"a file nobody asked for": func(received frame.Job, stdout engineStdout) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.FileStart, Body: []byte("/etc/passwd")})
		},
		"a file elsewhere": func(received frame.Job, stdout engineStdout) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.FileStart, Body: []byte("/workspace/out/../../etc/passwd")})
		},
		"a setuid file": func(received frame.Job, stdout engineStdout) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.FileStart, Mode: 0o4755, Body: []byte("/workspace/out/f")})
		},
		"content of no file": func(received frame.Job, stdout engineStdout) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.FileContent, Body: []byte("x")})
		},
		"unknown kind": func(received frame.Job, stdout engineStdout) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: "party"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			job := probe("exit", "0")
			job.Limits.Output = 10
			out, err := runWithFakeInit(t, job, init)
			require.ErrorIs(t, err, ErrProtocol)
			out.Record = sandbox.Record{}
			require.Zero(t, out, "nothing but the record")
		})
	}
}

func TestOutcomeFromResult(t *testing.T) {
	for name, c := range map[string]struct {
		result frame.Result
		want   sandbox.Outcome
	}{
		"exit":                  {frame.Result{Reason: frame.Exit, ExitCode: 3, Output: 5}, sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 3}},
		"more output":           {frame.Result{Reason: frame.Exit, Output: 6}, sandbox.Outcome{EndReason: sandbox.Exited, Truncated: true}},
		"deadline":              {frame.Result{Reason: frame.Deadline, ExitCode: 137, Output: 5}, sandbox.Outcome{EndReason: sandbox.TimedOut, ExitCode: 137}},
		"deadline after a kill": {frame.Result{Reason: frame.Deadline, OOMKills: 1, Output: 5}, sandbox.Outcome{EndReason: sandbox.TimedOut}},
		"silence":               {frame.Result{Reason: frame.NoOutput, ExitCode: 137, Output: 5}, sandbox.Outcome{EndReason: sandbox.NoOutput, ExitCode: 137}},
		"flood":                 {frame.Result{Reason: frame.OutputLimit, Output: 99}, sandbox.Outcome{EndReason: sandbox.OutputLimit, Truncated: true}},
		"a child was killed":    {frame.Result{Reason: frame.Exit, OOMKills: 1, Output: 5}, sandbox.Outcome{EndReason: sandbox.OutOfMemory}},
		"usage": {
			frame.Result{Reason: frame.Exit, Output: 5, Wall: time.Second, Memory: 1 << 20, CPU: time.Millisecond},
			sandbox.Outcome{EndReason: sandbox.Exited, Wall: time.Second, PeakMemory: 1 << 20, CPUTime: time.Millisecond},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runWithFakeInit(t, probe("exit", "0"), func(received frame.Job, stdout engineStdout) {
				w := frame.NewWriter(stdout, received.Secret)
				_ = w.Write(frame.Report{Kind: frame.Started})
				_ = w.Write(frame.Report{Kind: frame.Stdout, Body: []byte("hello")})
				_ = w.Write(frame.Report{Kind: frame.Ended, Result: c.result, Body: []byte("stderr")})
			})
			require.NoError(t, err)
			require.Positive(t, out.AgentStarted)
			require.NotZero(t, out.Record.Times.Result)
			c.want.AgentStarted, c.want.Record = out.AgentStarted, out.Record
			c.want.Stdout, c.want.Stderr = []byte("hello"), []byte("stderr")
			require.Empty(t, cmp.Diff(c.want, out))
		})
	}
}

// A panic over what a container says is a fault of this one visit.
func TestOnStdoutPanics(t *testing.T) {
	job := probe("exit", "0")
	job.OnStdout = func([]byte) { panic("rotten") }
	out, err := runWithFakeInit(t, job, func(received frame.Job, stdout engineStdout) {
		w := frame.NewWriter(stdout, received.Secret)
		_ = w.Write(frame.Report{Kind: frame.Started})
		_ = w.Write(frame.Report{Kind: frame.Stdout, Body: []byte("hello")})
	})
	require.ErrorContains(t, err, "rotten")
	require.NotZero(t, out.Record, "what is known of the container")
}

func TestInitFault(t *testing.T) {
	_, err := runWithFakeInit(t, probe("exit", "0"), func(received frame.Job, stdout engineStdout) {
		_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.Fault, Body: []byte("disk on fire")})
	})
	require.ErrorIs(t, err, ErrFault)
	require.ErrorContains(t, err, "disk on fire")
}

// An init that says nothing is given up, before the agent's start as after it.
func TestInitTimeout(t *testing.T) {
	_, err := runWithFakeInit(t, probe("exit", "0"), func(frame.Job, engineStdout) {})
	require.ErrorIs(t, err, errAgentStartTimeout)

	job := probe("exit", "0")
	job.Timeout = 50 * time.Millisecond
	out, err := runWithFakeInit(t, job, func(received frame.Job, stdout engineStdout) {
		w := frame.NewWriter(stdout, received.Secret)
		_ = w.Write(frame.Report{Kind: frame.Started})
		_ = w.Write(frame.Report{Kind: frame.Stdout, Body: []byte("so far")})
	})
	require.NoError(t, err)
	require.Equal(t, sandbox.TimedOut, out.EndReason)
	require.Equal(t, "so far", string(out.Stdout))
}
