package docker

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// contents are the files of an outcome by path.
func fileContents(t *testing.T, out sandbox.Outcome) map[string]string {
	t.Helper()
	got := map[string]string{}
	for _, f := range out.Files {
		data, err := io.ReadAll(f.Content)
		require.NoError(t, err)
		got[f.Path] = string(data)
	}
	return got
}

func TestFilesCollected(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe("leave", "/workspace/out/report.txt", "/workspace/out/deep/er/plot.svg", "/home/agent/.session", "/home/agent/private")
	job.Collect = []string{"/home/agent/.session", "/home/agent/never-written"}
	out := run(t, d, job)

	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	require.Equal(t, map[string]string{
		"/workspace/out/report.txt":       "/workspace/out/report.txt",
		"/workspace/out/deep/er/plot.svg": "/workspace/out/deep/er/plot.svg",
		"/home/agent/.session":            "/home/agent/.session",
	}, fileContents(t, out))
	require.Nil(t, out.FilesCloser, "so little stays in memory")
	require.Zero(t, out.OmittedFileCount)
}

func TestLinksAndDevicesOmitted(t *testing.T) {
	d := newDriver(t, Options{})
	out := run(t, d, probe("leave-odd"))

	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	require.Equal(t, map[string]string{"/workspace/out/plain": "plain"}, fileContents(t, out))
	require.Equal(t, itoa(out.OmittedFileCount)+"\n", string(out.Stdout), "as many as the agent says it made")
}

// An output folder that is a link is not the job's output folder.
func TestOutputDirIsSymlink(t *testing.T) {
	d := newDriver(t, Options{})
	for _, target := range []string{"/proc/1", "/", "/home/agent", "/run/airlock"} {
		job := probe("link", target, sandbox.OutputDir)
		job.Files = []sandbox.File{{Path: "/home/agent/f", Data: []byte("x")}}
		out := run(t, d, job)
		require.Zero(t, out.ExitCode, "%s", out.Stderr)
		require.Empty(t, out.Files, target)
	}
}

// What is more than fits is left out whole, and said to be. What fits is on
// disk, not in the executor's memory.
func TestFilesTooLarge(t *testing.T) {
	d := newDriver(t, Options{})
	t.Setenv("TMPDIR", t.TempDir())
	out := run(t, d, probe("leave-large", "/workspace/out/a", "40", "/workspace/out/b", "40", "/workspace/out/c", "20"))

	require.Equal(t, 1, out.OmittedFileCount)
	require.Len(t, out.Files, 2)
	require.NotNil(t, out.FilesCloser)
	entries, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, entries, "it has no name")
	for _, f := range out.Files {
		n, err := io.Copy(io.Discard, f.Content)
		require.NoError(t, err)
		require.Equal(t, f.Content.Size(), n)
	}
	require.NoError(t, out.Close())
	_, err = out.Files[0].Content.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, os.ErrClosed)
}

func TestTooManyFiles(t *testing.T) {
	d := newDriver(t, Options{})
	out := run(t, d, probe("leave-many", itoa(sandbox.MaxOutputFiles+5)))

	require.Len(t, out.Files, sandbox.MaxOutputFiles)
	require.Equal(t, 5, out.OmittedFileCount)
}

func TestIdleTimeout(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe("sleep", "1h")
	job.IdleTimeout = 200 * time.Millisecond
	out := run(t, d, job)

	require.Equal(t, sandbox.NoOutput, out.EndReason)
	require.Equal(t, "sleeping\n", string(out.Stdout))
	require.GreaterOrEqual(t, out.Wall, job.IdleTimeout)
	require.Less(t, out.Wall, 30*time.Second)

	job = probe("tick", "30ms", "20")
	job.IdleTimeout = 500 * time.Millisecond
	require.Equal(t, sandbox.Exited, run(t, d, job).EndReason, "longer in all than may be quiet")
}
