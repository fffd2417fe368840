package docker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

const claudeImage = "airlock/sandbox-claude:dev"

// claudeJob returns a job in the Claude runtime image.
func claudeJob(t *testing.T, d *Driver, argv ...string) sandbox.Job {
	t.Helper()
	if _, err := d.Check(t.Context(), claudeImage); err != nil {
		t.Skipf("scripts/images.sh claude: %v", err)
	}
	job := probe()
	job.Image, job.Argv = claudeImage, argv
	return job
}

func TestClaudeImageHasPinnedCLI(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, claudeJob(t, d, "claude", "--version"))
	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	require.Equal(t, "2.1.332 (Claude Code)\n", string(out.Stdout))
}

func TestClaudeImageHasNoSetuidFiles(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, claudeJob(t, d, "find", "/", "-xdev", "-type", "f", "-perm", "/6000"))
	require.Empty(t, string(out.Stdout))
}

func TestClaudeImageHasItsTools(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, claudeJob(t, d, "bash", "-c", "whoami && git --version && rg --version && ls -d ~"))
	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	require.Regexp(t, `(?s)^agent\ngit version.*ripgrep.*/home/agent\n$`, string(out.Stdout))
}
