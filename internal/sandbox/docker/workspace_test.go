package docker

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// withSnapshot makes the job leave a snapshot.
func withSnapshot(job sandbox.Job) sandbox.Job {
	job.MaxSnapshot = 256 << 20
	return job
}

func snapshotOf(t *testing.T, out sandbox.Outcome) []byte {
	t.Helper()
	require.Equal(t, sandbox.SnapshotComplete, out.Snapshot.State)
	data, err := io.ReadAll(out.Snapshot.Content)
	require.NoError(t, err)
	return data
}

func beginningWith(job sandbox.Job, snapshot []byte) sandbox.Job {
	job.Workspace = sandbox.Workspace{Content: bytes.NewReader(snapshot), Size: int64(len(snapshot))}
	return job
}

// A job begins with the files that another one has left, and leaves them on.
func TestWorkspaceGoesOn(t *testing.T) {
	d := newDriver(t, Config{})
	first := run(t, d, withSnapshot(probe("write-paths", "/workspace/src/main.go", "/workspace/out/report.txt")))
	snapshot := snapshotOf(t, first)

	second := run(t, d, withSnapshot(beginningWith(probe("cat", "/workspace/src/main.go"), snapshot)))
	require.Equal(t, "/workspace/src/main.go", string(second.Stdout), "%s", second.Stderr)
	require.Equal(t, map[string]string{"report.txt": "/workspace/out/report.txt"}, contents(t, second))
	require.Equal(t, snapshot, snapshotOf(t, second), "nothing has changed")

	job := beginningWith(probe("cat", "/workspace/src/main.go"), snapshot)
	job.Files = []sandbox.File{{Path: "/workspace/src/main.go", Data: []byte("new")}}
	require.Equal(t, "new", string(run(t, d, job).Stdout), "an input file replaces one of the workspace")
}

func TestLargeWorkspaceGoesOn(t *testing.T) {
	d := newDriver(t, Config{})
	first := run(t, d, withSnapshot(probe("write-large-files", "/workspace/a", "100", "/workspace/b", "50")))
	defer first.Close()
	snapshot := snapshotOf(t, first)
	second := run(t, d, withSnapshot(beginningWith(probe("exit", "0"), snapshot)))
	defer second.Close()
	require.True(t, bytes.Equal(snapshot, snapshotOf(t, second)))
}

func TestSnapshotStates(t *testing.T) {
	d := newDriver(t, Config{})
	require.Equal(t, sandbox.SnapshotEmpty, run(t, d, withSnapshot(probe("exit", "3"))).Snapshot.State)
	require.Empty(t, run(t, d, probe("write-paths", "/workspace/a")).Snapshot.State, "the job asks for none")

	job := withSnapshot(probe("write-paths", "/workspace/a"))
	job.MaxSnapshot = 10
	out := run(t, d, job)
	require.Equal(t, sandbox.SnapshotTooLarge, out.Snapshot.State)
	require.Nil(t, out.Snapshot.Content)
	require.Equal(t, sandbox.Exited, out.EndReason)
}

// A stopped job and one that is out of time leave their workspace as well.
func TestStoppedJobLeavesItsWorkspace(t *testing.T) {
	d := newDriver(t, Config{})
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	out, err := d.Run(ctx, onFirstOutput(withSnapshot(probe("work-until-terminated")), func() { cancel(sandbox.ErrStop) }))
	require.NoError(t, err)
	require.Equal(t, sandbox.Stopped, out.EndReason)
	next := run(t, d, beginningWith(probe("cat", "/workspace/out/notes"), snapshotOf(t, out)))
	require.Equal(t, "stopped", string(next.Stdout))
}

// Files that cannot be written make the job invalid: on another executor they could not be either.
func TestFilesThatCannotBeWritten(t *testing.T) {
	d := newDriver(t, Config{})
	dirs := snapshotOf(t, run(t, d, withSnapshot(probe("write-paths", "/workspace/folder/file"))))
	_, err := d.Run(t.Context(), beginningWith(probe("exit", "0"), []byte("rubbish")))
	require.ErrorIs(t, err, ErrInvalidJob)
	require.ErrorContains(t, err, "restore the workspace")

	job := beginningWith(probe("exit", "0"), dirs)
	job.Files = []sandbox.File{{Path: "/workspace/folder", Data: []byte("x")}}
	_, err = d.Run(t.Context(), job)
	require.ErrorIs(t, err, ErrInvalidJob)
	require.ErrorContains(t, err, "write /workspace/folder")
	var failed *sandbox.StartError
	require.NotErrorAs(t, err, &failed, "it says nothing about the Engine")
	require.Equal(t, sandbox.Exited, run(t, d, probe("exit", "0")).EndReason)
}
