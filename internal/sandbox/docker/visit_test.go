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
func converse(t *testing.T, job sandbox.Job, init func(told frame.Job, stdout stdoutOf)) (sandbox.Outcome, error) {
	t.Helper()
	d := newDriver(t, Options{StartTimeout: time.Second})
	ours, theirs := net.Pipe()
	c := &cell{stream: types.NewHijackedResponse(ours, "")}
	played := make(chan struct{})
	go func() {
		defer close(played)
		told, err := frame.ReadJob(theirs)
		if assert.NoError(t, err) {
			init(told, stdoutOf{theirs})
		}
	}()
	out, err := d.runIn(t.Context(), c, defaults(t, job), time.Now())
	c.stream.Close()
	<-played
	c.writing.Wait()
	return out, err
}

// stdoutOf writes as the Engine passes on what a container wrote.
type stdoutOf struct{ net.Conn }

func (s stdoutOf) Write(p []byte) (int, error) {
	if _, err := s.Conn.Write(piece(streamStdout, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func TestForgersAreNotBelieved(t *testing.T) {
	result := frame.Report{Kind: frame.Ended, Result: frame.Result{Reason: frame.Exit}}
	for name, init := range map[string]func(told frame.Job, stdout stdoutOf){
		"another secret": func(_ frame.Job, stdout stdoutOf) {
			_ = frame.NewWriter(stdout, frame.NewSecret()).Write(result)
		},
		"after init's own": func(told frame.Job, stdout stdoutOf) {
			_ = frame.NewWriter(stdout, told.Secret).Write(frame.Report{Kind: frame.Started})
			_ = frame.NewWriter(stdout, frame.NewSecret()).Write(result)
		},
		"replayed": func(told frame.Job, stdout stdoutOf) {
			var once bytes.Buffer
			_ = frame.NewWriter(&once, told.Secret).Write(frame.Report{Kind: frame.Started})
			_, _ = stdout.Write(append(once.Bytes(), once.Bytes()...))
		},
		"no frame": func(_ frame.Job, stdout stdoutOf) {
			_, _ = stdout.Write([]byte("hello, this is an image without our init\n"))
		},
		"more than was asked for": func(told frame.Job, stdout stdoutOf) {
			w := frame.NewWriter(stdout, told.Secret)
			_ = w.Write(frame.Report{Kind: frame.Stdout, Body: make([]byte, 11)})
		},
		"a file nobody asked for": func(told frame.Job, stdout stdoutOf) {
			_ = frame.NewWriter(stdout, told.Secret).Write(frame.Report{Kind: frame.Left, Body: []byte("/etc/passwd")})
		},
		"a file elsewhere": func(told frame.Job, stdout stdoutOf) {
			_ = frame.NewWriter(stdout, told.Secret).Write(frame.Report{Kind: frame.Left, Body: []byte("/workspace/out/../../etc/passwd")})
		},
		"a setuid file": func(told frame.Job, stdout stdoutOf) {
			_ = frame.NewWriter(stdout, told.Secret).Write(frame.Report{Kind: frame.Left, Mode: 0o4755, Body: []byte("/workspace/out/f")})
		},
		"content of no file": func(told frame.Job, stdout stdoutOf) {
			_ = frame.NewWriter(stdout, told.Secret).Write(frame.Report{Kind: frame.Content, Body: []byte("x")})
		},
		"unknown kind": func(told frame.Job, stdout stdoutOf) {
			_ = frame.NewWriter(stdout, told.Secret).Write(frame.Report{Kind: "party"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			job := probe("exit", "0")
			job.Limits.Output = 10
			out, err := converse(t, job, init)
			require.ErrorIs(t, err, ErrProtocol)
			out.Record = sandbox.Record{}
			require.Zero(t, out, "nothing but the record")
		})
	}
}

func TestOutcomeIsWhatInitSaw(t *testing.T) {
	for name, c := range map[string]struct {
		result frame.Result
		want   sandbox.Outcome
	}{
		"exit":                  {frame.Result{Reason: frame.Exit, ExitCode: 3, Output: 5}, sandbox.Outcome{Ended: sandbox.Exited, ExitCode: 3}},
		"more output":           {frame.Result{Reason: frame.Exit, Output: 6}, sandbox.Outcome{Ended: sandbox.Exited, Truncated: true}},
		"deadline":              {frame.Result{Reason: frame.Deadline, ExitCode: 137, Output: 5}, sandbox.Outcome{Ended: sandbox.TimedOut, ExitCode: 137}},
		"deadline after a kill": {frame.Result{Reason: frame.Deadline, OOMKills: 1, Output: 5}, sandbox.Outcome{Ended: sandbox.TimedOut}},
		"silence":               {frame.Result{Reason: frame.Silence, ExitCode: 137, Output: 5}, sandbox.Outcome{Ended: sandbox.NoOutput, ExitCode: 137}},
		"flood":                 {frame.Result{Reason: frame.Flood, Output: 99}, sandbox.Outcome{Ended: sandbox.OutputLimit, Truncated: true}},
		"a child was killed":    {frame.Result{Reason: frame.Exit, OOMKills: 1, Output: 5}, sandbox.Outcome{Ended: sandbox.OutOfMemory}},
		"usage": {
			frame.Result{Reason: frame.Exit, Output: 5, Wall: time.Second, Memory: 1 << 20, CPU: time.Millisecond},
			sandbox.Outcome{Ended: sandbox.Exited, Wall: time.Second, PeakMemory: 1 << 20, CPUTime: time.Millisecond},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := converse(t, probe("exit", "0"), func(told frame.Job, stdout stdoutOf) {
				w := frame.NewWriter(stdout, told.Secret)
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
func TestAPanicOverOutputIsAnError(t *testing.T) {
	job := probe("exit", "0")
	job.Heard = func([]byte) { panic("rotten") }
	out, err := converse(t, job, func(told frame.Job, stdout stdoutOf) {
		w := frame.NewWriter(stdout, told.Secret)
		_ = w.Write(frame.Report{Kind: frame.Started})
		_ = w.Write(frame.Report{Kind: frame.Stdout, Body: []byte("hello")})
	})
	require.ErrorContains(t, err, "rotten")
	require.NotZero(t, out.Record, "what is known of the container")
}

func TestFaultIsAnError(t *testing.T) {
	_, err := converse(t, probe("exit", "0"), func(told frame.Job, stdout stdoutOf) {
		_ = frame.NewWriter(stdout, told.Secret).Write(frame.Report{Kind: frame.Fault, Body: []byte("disk on fire")})
	})
	require.ErrorIs(t, err, ErrFault)
	require.ErrorContains(t, err, "disk on fire")
}

// An init that says nothing is given up, before the agent's start as after it.
func TestSilentInit(t *testing.T) {
	_, err := converse(t, probe("exit", "0"), func(frame.Job, stdoutOf) {})
	require.ErrorIs(t, err, errUnstarted)

	job := probe("exit", "0")
	job.Timeout = 50 * time.Millisecond
	out, err := converse(t, job, func(told frame.Job, stdout stdoutOf) {
		w := frame.NewWriter(stdout, told.Secret)
		_ = w.Write(frame.Report{Kind: frame.Started})
		_ = w.Write(frame.Report{Kind: frame.Stdout, Body: []byte("so far")})
	})
	require.NoError(t, err)
	require.Equal(t, sandbox.TimedOut, out.Ended)
	require.Equal(t, "so far", string(out.Stdout))
}
