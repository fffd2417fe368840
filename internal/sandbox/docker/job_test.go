package docker

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

func TestJobGetsDefaults(t *testing.T) {
	job, err := normalizeJob(sandbox.Job{Image: "i", Argv: []string{"a"}})
	require.NoError(t, err)
	require.Equal(t, sandbox.DefaultLimits, job.Limits)
	require.Equal(t, 2*time.Minute, job.Timeout)
}

func TestInvalidJobsAreRefused(t *testing.T) {
	for name, change := range map[string]func(*sandbox.Job){
		"no image":                          func(j *sandbox.Job) { j.Image = "" },
		"no program":                        func(j *sandbox.Job) { j.Argv = nil },
		"empty program":                     func(j *sandbox.Job) { j.Argv = []string{""} },
		"zero byte in argument":             func(j *sandbox.Job) { j.Argv = append(j.Argv, "a\x00b") },
		"environment entry without a value": func(j *sandbox.Job) { j.Env = []string{"NOVALUE"} },
		"environment entry without a name":  func(j *sandbox.Job) { j.Env = []string{"=x"} },
		"negative timeout":                  func(j *sandbox.Job) { j.Timeout = -1 },
		"negative memory":                   func(j *sandbox.Job) { j.Limits.Memory = -1 },
		"too much output":                   func(j *sandbox.Job) { j.Limits.Output = 1 << 40 },
		"too much written":                  func(j *sandbox.Job) { j.Limits.Written = 1 << 40 },
		"file outside":                      func(j *sandbox.Job) { j.Files = []sandbox.File{{Path: "/etc/passwd"}} },
		"file path with ..":                 func(j *sandbox.Job) { j.Files = []sandbox.File{{Path: "/workspace/../etc/passwd"}} },
		"file path of a directory":          func(j *sandbox.Job) { j.Files = []sandbox.File{{Path: "/workspace/"}} },
		"setuid file":                       func(j *sandbox.Job) { j.Files = []sandbox.File{{Path: "/workspace/f", Mode: 0o4755}} },
		"negative idle time-out":            func(j *sandbox.Job) { j.IdleTimeout = -1 },
		"files too large": func(j *sandbox.Job) {
			j.Files = []sandbox.File{{Path: "/workspace/f", Data: make([]byte, sandbox.MaxFileBytes+1)}}
		},
		"collect outside":  func(j *sandbox.Job) { j.Collect = []string{"/proc/1/environ"} },
		"collect with ..":  func(j *sandbox.Job) { j.Collect = []string{"/home/agent/../../etc/passwd"} },
		"folder outside":   func(j *sandbox.Job) { j.Folder = "/proc/1" },
		"collect too many": func(j *sandbox.Job) { j.Collect = make([]string, 17) },
		"input too large":  func(j *sandbox.Job) { j.Stdin = make([]byte, 65<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			job := sandbox.Job{Image: "i", Argv: []string{"a"}, Egress: noEgress{}}
			change(&job)
			job, err := normalizeJob(job)
			if err == nil {
				_, err = encodeJob(job)
			}
			require.ErrorIs(t, err, ErrInvalidJob)
		})
	}
}

func TestJobSecretsDiffer(t *testing.T) {
	job := normalizedJob(t, probe("exit", "0"))
	raw, first, err := encodeStart(job, false)
	require.NoError(t, err)
	_, second, err := encodeStart(job, false)
	require.NoError(t, err)
	require.NotEqual(t, first, second)

	received, err := frame.ReadStart(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Equal(t, first, received.Secret)
	require.False(t, received.Egress, "a job without egress has no bridge")
}

func TestWrittenBytesFitOneFile(t *testing.T) {
	require.LessOrEqual(t, sandbox.DefaultLimits.Written, int64(maxWritten))
	require.Less(t, maxWritten, maxFileSize, "otherwise the agent's write fails, and the job is not ended")
}
