package docker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// fakeInit is init in a test. It has received the job and writes to the container's standard output.
type fakeInit func(received frame.Start, stdout engineStream)

func runWithFakeInit(t *testing.T, job sandbox.Job, init fakeInit) (sandbox.Outcome, error) {
	t.Helper()
	return runOnWithFakeInit(t, newDriver(t, Config{StartTimeout: time.Second}), job, init)
}

func runOnWithFakeInit(t *testing.T, d *Driver, job sandbox.Job, init fakeInit) (sandbox.Outcome, error) {
	t.Helper()
	return runContextWithFakeInit(t.Context(), t, d, job, init)
}

func runContextWithFakeInit(ctx context.Context, t *testing.T, d *Driver, job sandbox.Job, init fakeInit) (sandbox.Outcome, error) {
	t.Helper()
	driverConn, initConn := net.Pipe()
	c := &sandboxContainer{id: "fake", stream: types.NewHijackedResponse(driverConn, "")}
	done := make(chan struct{})
	go func() {
		defer close(done)
		received, err := frame.ReadStart(initConn)
		_, jobErr := frame.ReadJob(initConn)
		if assert.NoError(t, errors.Join(err, jobErr)) {
			init(received, engineStream{initConn, streamStdout})
		}
	}()
	r := &jobRun{driver: d, container: c, job: normalizedJob(t, job), calledAt: time.Now()}
	out, err := r.run(ctx)
	c.stream.Close()
	<-done
	c.jobWrite.Wait()
	return out, err
}

// engineStream writes one stream of a container in the Engine's format.
type engineStream struct {
	net.Conn
	stream byte
}

func (s engineStream) Write(p []byte) (int, error) {
	if _, err := s.Conn.Write(streamFrame(s.stream, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func TestForgedReportsAreRefused(t *testing.T) {
	result := frame.Report{Kind: frame.Ended, Result: frame.Result{Reason: frame.Exit}}
	for name, init := range map[string]func(received frame.Start, stdout engineStream){
		"another secret": func(_ frame.Start, stdout engineStream) {
			_ = frame.NewWriter(stdout, frame.NewSecret()).Write(result)
		},
		"text": func(_ frame.Start, stdout engineStream) {
			_, _ = stdout.Write([]byte("an image with another init\n"))
		},
		"more output than the limit": func(received frame.Start, stdout engineStream) {
			w := frame.NewWriter(stdout, received.Secret)
			_ = w.Write(frame.Report{Kind: frame.Stdout, Body: make([]byte, 11)})
		},
		"unexpected file": func(received frame.Start, stdout engineStream) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.FileStart, Body: []byte("/etc/passwd")})
		},
		"file path with ..": func(received frame.Start, stdout engineStream) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.FileStart, Body: []byte("/workspace/out/../../etc/passwd")})
		},
		"setuid file": func(received frame.Start, stdout engineStream) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.FileStart, Mode: 0o4755, Body: []byte("/workspace/out/f")})
		},
		"file content without a file": func(received frame.Start, stdout engineStream) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.FileContent, Body: []byte("x")})
		},
		"another protocol version": func(_ frame.Start, stdout engineStream) {
			_, _ = stdout.Write([]byte("ALK1\x00\x00\x00\x00\x00\x00\x00\x00"))
		},
		"unknown kind": func(received frame.Start, stdout engineStream) {
			_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: "other"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			job := probe("exit", "0")
			job.Limits.Output = 10
			out, err := runWithFakeInit(t, job, init)
			require.ErrorIs(t, err, ErrProtocol)
			out.Record = sandbox.Record{}
			require.Zero(t, out, "only the record is set")
		})
	}
}

// Init sends no invalid report after a valid one. So the job did it, as is possible under gVisor, and would do it
// again.
func TestForgedReportAfterStartEndsJob(t *testing.T) {
	for name, forge := range map[string]func(stdout io.Writer, valid []byte){
		"another secret": func(stdout io.Writer, _ []byte) {
			_ = frame.NewWriter(stdout, frame.NewSecret()).Write(frame.Report{Kind: frame.Ended, Result: frame.Result{Reason: frame.Exit}})
		},
		"replayed":                 func(stdout io.Writer, valid []byte) { _, _ = stdout.Write(valid) },
		"text":                     func(stdout io.Writer, _ []byte) { _, _ = stdout.Write([]byte("forged by the agent")) },
		"another protocol version": func(stdout io.Writer, _ []byte) { _, _ = stdout.Write([]byte("ALK1\x00\x00\x00\x00\x00\x00\x00\x00")) },
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runWithFakeInit(t, probe("exit", "0"), func(received frame.Start, stdout engineStream) {
				var valid bytes.Buffer
				_ = frame.NewWriter(&valid, received.Secret).Write(frame.Report{Kind: frame.Started})
				_, _ = stdout.Write(valid.Bytes())
				forge(stdout, valid.Bytes())
			})
			require.NoError(t, err)
			require.Equal(t, sandbox.Tampered, out.EndReason)
		})
	}
}

func TestOutcomeFromResult(t *testing.T) {
	for name, c := range map[string]struct {
		result frame.Result
		want   sandbox.Outcome
	}{
		"exit":                       {frame.Result{Reason: frame.Exit, ExitCode: 3, StdoutBytes: 5}, sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 3}},
		"more output":                {frame.Result{Reason: frame.Exit, StdoutBytes: 6}, sandbox.Outcome{EndReason: sandbox.Exited, Truncated: true}},
		"deadline":                   {frame.Result{Reason: frame.Deadline, ExitCode: 137, StdoutBytes: 5}, sandbox.Outcome{EndReason: sandbox.TimedOut, ExitCode: 137}},
		"deadline after an OOM kill": {frame.Result{Reason: frame.Deadline, OOMKills: 1, StdoutBytes: 5}, sandbox.Outcome{EndReason: sandbox.TimedOut, OOMKills: 1}},
		"no output":                  {frame.Result{Reason: frame.NoOutput, ExitCode: 137, StdoutBytes: 5}, sandbox.Outcome{EndReason: sandbox.NoOutput, ExitCode: 137}},
		"output limit":               {frame.Result{Reason: frame.OutputLimit, StdoutBytes: 99}, sandbox.Outcome{EndReason: sandbox.OutputLimit, Truncated: true}},
		"OOM kill of a child":        {frame.Result{Reason: frame.Exit, OOMKills: 2, StdoutBytes: 5}, sandbox.Outcome{EndReason: sandbox.Exited, OOMKills: 2}},
		"OOM kill of the agent":      {frame.Result{Reason: frame.Exit, ExitCode: 137, OOMKills: 1, StdoutBytes: 5}, sandbox.Outcome{EndReason: sandbox.OutOfMemory, ExitCode: 137, OOMKills: 1}},
		"OOM kills unknown":          {frame.Result{Reason: frame.Exit, ExitCode: 137, OOMKills: -1, StdoutBytes: 5}, sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 137}},
		"usage": {
			frame.Result{Reason: frame.Exit, StdoutBytes: 5, Wall: time.Second, PeakMemory: 1 << 20, CPUTime: time.Millisecond},
			sandbox.Outcome{EndReason: sandbox.Exited, Wall: time.Second, PeakMemory: 1 << 20, CPUTime: time.Millisecond},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := runWithFakeInit(t, probe("exit", "0"), func(received frame.Start, stdout engineStream) {
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

// A panic while the driver handles a report is an error of this run only.
func TestPanicInOnStdoutIsAnError(t *testing.T) {
	job := probe("exit", "0")
	job.OnStdout = func([]byte) { panic("panic in OnStdout") }
	out, err := runWithFakeInit(t, job, func(received frame.Start, stdout engineStream) {
		w := frame.NewWriter(stdout, received.Secret)
		_ = w.Write(frame.Report{Kind: frame.Started})
		_ = w.Write(frame.Report{Kind: frame.Stdout, Body: []byte("hello")})
	})
	require.ErrorContains(t, err, "panic in OnStdout")
	require.NotZero(t, out.Record, "the record is set")
}

func TestInitFaultIsAnError(t *testing.T) {
	_, err := runWithFakeInit(t, probe("exit", "0"), func(received frame.Start, stdout engineStream) {
		_ = frame.NewWriter(stdout, received.Secret).Write(frame.Report{Kind: frame.Fault, Body: []byte("disk full")})
	})
	require.ErrorIs(t, err, ErrFault)
	require.ErrorContains(t, err, "disk full")
	require.NotErrorAs(t, err, new(*sandbox.StartError), "a report acknowledges the job")
}

// A program that the image does not have is a fault of the image. A fault after the agent's start is not.
func TestFaultBeforeAgentIsOfImage(t *testing.T) {
	for _, notStarted := range []bool{true, false} {
		out, err := runWithFakeInit(t, probe("exit", "0"), func(received frame.Start, stdout engineStream) {
			w := frame.NewWriter(stdout, received.Secret)
			_ = w.Write(frame.Report{Kind: frame.Started})
			_ = w.Write(frame.Report{Kind: frame.Fault, NotStarted: notStarted, Body: []byte("start /no/such/program: not found")})
		})
		require.ErrorIs(t, err, ErrFault)
		require.ErrorContains(t, err, "/no/such/program")
		require.NotZero(t, out.Record.Times.Dispatched)
		require.Equal(t, notStarted, out.Record.Times.AgentStarted.IsZero())
		if notStarted {
			requireStartError(t, err, sandbox.ImageUnusable)
		} else {
			require.NotErrorAs(t, err, new(*sandbox.StartError))
		}
	}
}

// An init of another release rejects the job frame and exits before its first report. The error names the cause.
func TestInitOfAnotherReleaseIsReported(t *testing.T) {
	d := newDriver(t, Config{Host: newFakeEngine(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/containers/fake/wait"):
			_, _ = io.WriteString(w, `{"StatusCode":1}`)
		case strings.HasSuffix(r.URL.Path, "/containers/fake/json"):
			_, _ = io.WriteString(w, `{"State":{"Status":"exited","ExitCode":1}}`)
		}
	})})
	_, err := runOnWithFakeInit(t, d, probe("exit", "0"), func(_ frame.Start, stdout engineStream) {
		stderr := engineStream{stdout.Conn, streamStderr}
		_, _ = io.WriteString(stderr, "sandbox-init: job frame: malformed frame: starts with \"ALK2\"\n")
		_ = stderr.Close()
	})
	require.ErrorIs(t, err, ErrLost)
	requireStartError(t, err, sandbox.ImageUnusable)
	require.ErrorContains(t, err, "init exited with 1 before its first report")
	require.ErrorContains(t, err, `starts with \"ALK2\"`)
	require.ErrorContains(t, err, "the image may contain a sandbox-init of another release: rebuild the image")
}

// A silent init is an error before the agent's start, and a time-out of the job after it.
func TestSilentInitTimesOut(t *testing.T) {
	_, err := runWithFakeInit(t, probe("exit", "0"), func(frame.Start, engineStream) {})
	require.ErrorIs(t, err, errAgentStartTimeout)
	requireStartError(t, err, sandbox.StartTimedOut)

	job := probe("exit", "0")
	job.Timeout = 50 * time.Millisecond
	out, err := runWithFakeInit(t, job, func(received frame.Start, stdout engineStream) {
		w := frame.NewWriter(stdout, received.Secret)
		_ = w.Write(frame.Report{Kind: frame.Started})
		_ = w.Write(frame.Report{Kind: frame.Stdout, Body: []byte("partial output")})
	})
	require.NoError(t, err)
	require.Equal(t, sandbox.TimedOut, out.EndReason)
	require.Equal(t, "partial output", string(out.Stdout))
}
