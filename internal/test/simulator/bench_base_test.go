package simulator

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A commit from before the simulator cannot be compared. `make bench BASE=...` says so before it builds anything.
func TestBaseWithoutSimulatorIsRefused(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("../../../scripts/bench-base.sh")
	require.NoError(t, err)
	repository := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(repository, "scripts"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(repository, "scripts", "bench-base.sh"), script, 0o700))
	run := func(name string, args ...string) (string, error) {
		command := exec.CommandContext(t.Context(), name, args...)
		command.Dir = repository
		out, err := command.CombinedOutput()
		return string(out), err
	}
	for _, args := range [][]string{
		{"init", "--quiet"}, {"-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "--quiet", "--allow-empty", "-m", "empty"},
	} {
		out, err := run("git", args...)
		require.NoError(t, err, out)
	}
	out, err := run("scripts/bench-base.sh", "HEAD")
	require.Error(t, err)
	require.Contains(t, out, "bench: HEAD has no simulator")
	out, err = run("scripts/bench-base.sh", "nothing")
	require.Error(t, err)
	require.Contains(t, out, "bench: there is no commit nothing")
}
