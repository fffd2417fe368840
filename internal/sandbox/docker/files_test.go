package docker

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// fileContents returns the contents of an outcome's files by path.
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

func TestOutputFilesAreCollected(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("write-paths", "/workspace/out/report.txt", "/workspace/out/deep/er/plot.svg", "/home/agent/.session", "/home/agent/private")
	job.Collect = []string{"/home/agent/.session", "/home/agent/never-written"}
	out := run(t, d, job)

	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	require.Equal(t, map[string]string{
		"/workspace/out/report.txt":       "/workspace/out/report.txt",
		"/workspace/out/deep/er/plot.svg": "/workspace/out/deep/er/plot.svg",
		"/home/agent/.session":            "/home/agent/.session",
	}, fileContents(t, out))
	require.Nil(t, out.FilesCloser, "small files stay in memory")
	require.Zero(t, out.OmittedFileCount)
}

func TestLinksAndDevicesAreOmitted(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("write-irregular-files"))

	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	require.Equal(t, map[string]string{"/workspace/out/plain": "plain"}, fileContents(t, out))
	require.Equal(t, itoa(out.OmittedFileCount)+"\n", string(out.Stdout), "the agent prints how many it made")
}

// A symbolic link in place of the output folder is not followed.
func TestSymlinkAsOutputDirIsNotFollowed(t *testing.T) {
	d := newDriver(t, Config{})
	for _, target := range []string{"/proc/1", "/", "/home/agent", "/run/airlock"} {
		job := probe("symlink", target, sandbox.OutputDir)
		job.Files = []sandbox.File{{Path: "/home/agent/f", Data: []byte("x")}}
		out := run(t, d, job)
		require.Zero(t, out.ExitCode, "%s", out.Stderr)
		require.Empty(t, out.Files, target)
	}
}

// A file that exceeds the limit is omitted completely and counted. The other files are on disk and not in the
// executor's memory.
func TestFilesOverSizeLimitAreOmitted(t *testing.T) {
	d := newDriver(t, Config{})
	t.Setenv("TMPDIR", t.TempDir())
	out := run(t, d, probe("write-large-files", "/workspace/out/a", "40", "/workspace/out/b", "40", "/workspace/out/c", "20"))

	require.Equal(t, 1, out.OmittedFileCount)
	require.Len(t, out.Files, 2)
	require.NotNil(t, out.FilesCloser)
	entries, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, entries, "the temporary file has no name")
	for _, f := range out.Files {
		n, err := io.Copy(io.Discard, f.Content)
		require.NoError(t, err)
		require.Equal(t, f.Content.Size(), n)
	}
	require.NoError(t, out.Close())
	_, err = out.Files[0].Content.ReadAt(make([]byte, 1), 0)
	require.ErrorIs(t, err, os.ErrClosed)
}

func TestFilesOverCountLimitAreOmitted(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, probe("write-many-files", itoa(sandbox.MaxOutputFiles+5)))

	require.Len(t, out.Files, sandbox.MaxOutputFiles)
	require.Equal(t, 5, out.OmittedFileCount)
}

func TestIdleTimeoutEndsJobWithoutOutput(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("sleep", "1h")
	job.IdleTimeout = 200 * time.Millisecond
	out := run(t, d, job)

	require.Equal(t, sandbox.NoOutput, out.EndReason)
	require.Equal(t, "sleeping\n", string(out.Stdout))
	require.GreaterOrEqual(t, out.Wall, job.IdleTimeout)
	require.Less(t, out.Wall, 30*time.Second)

	job = probe("print-dots", "30ms", "20")
	job.IdleTimeout = 500 * time.Millisecond
	require.Equal(t, sandbox.Exited, run(t, d, job).EndReason, "it runs longer than the idle time-out, but writes output")
}
