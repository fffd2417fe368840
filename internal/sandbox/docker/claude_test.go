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

// The image is a workshop: an agent can build and test programs, and commit what it has done.
func TestClaudeImageIsAWorkshop(t *testing.T) {
	d := newDriver(t, Config{})
	out := run(t, d, claudeJob(t, d, "bash", "-ec", `
		for program in python3 node npm npx curl jq less ps patch file unzip zip xz make gcc g++ pkg-config; do
			command -v $program >/dev/null || echo missing: $program
		done
		git init -q . && echo '#include <stdio.h>
		int main() { puts("built"); }' > main.c && make -s main && ./main
		git add main.c && git commit -qm first && git log --format='%an %s'
		python3 -m venv --without-pip venv && venv/bin/python -c 'print("python")'
		node -e 'console.log("node")'`))
	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	require.Equal(t, "built\nAgent first\npython\nnode\n", string(out.Stdout))
}
