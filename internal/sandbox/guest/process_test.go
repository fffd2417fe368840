package guest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJobEnvOverridesDefaults(t *testing.T) {
	t.Setenv("INIT_ONLY", "not for the agent")
	require.Equal(t, defaultEnv, buildEnv(nil))
	require.Equal(t,
		[]string{"HOME=/home/agent", "USER=agent", "LANG=C.UTF-8", "A=1=2", "PATH=/opt"},
		buildEnv([]string{"A=1=2", "PATH=/opt"}))
}

func TestLookPathUsesAgentPath(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")) // restored at the end of the test
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(program, nil, 0o755))

	found, err := lookPath("program", []string{"PATH=" + dir})
	require.NoError(t, err)
	require.Equal(t, program, found)
	_, err = lookPath("program", []string{"PATH=/nonexistent"})
	require.ErrorIs(t, err, exec.ErrNotFound)
	found, err = lookPath(program, []string{"PATH=/nonexistent"})
	require.NoError(t, err)
	require.Equal(t, program, found)
}

// A fault of the program counts against its image. So it must not be one that the job can cause.
func TestOnlyImageIsToBlameForMissingProgram(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")) // restored at the end of the test
	notExecutable := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(notExecutable, nil, 0o644))
	for _, c := range []struct {
		program, path string
		ofImage       bool
	}{
		{"/no/such/program", "/usr/bin", true},
		{"no-such-program", "/usr/bin:/bin", true},
		{notExecutable, "/usr/bin", true},
		{"/usr", "/usr/bin", true},
		{"/workspaces/program", "/usr/bin", true},
		{"/workspace/program", "/usr/bin", false},
		{"/usr/../workspace/program", "/usr/bin", false},
		{"/home/agent/bin/program", "/usr/bin", false},
		{"./program", "/usr/bin", false},
		{"no-such-program", "/workspace:/usr/bin", false},
		{"no-such-program", "/usr/bin:/home/agent/bin", false},
		{"no-such-program", "bin:/usr/bin", false},
	} {
		env := []string{"PATH=" + c.path}
		_, err := lookPath(c.program, env)
		require.Error(t, err, c)
		err = startError(c.program, env, err)
		require.ErrorContains(t, err, c.program)
		var missing *programError
		require.Equal(t, c.ofImage, errors.As(err, &missing), c)
	}
	for cause, ofImage := range map[unix.Errno]bool{
		unix.ENOENT: true, unix.ENOEXEC: true, unix.EACCES: true, // the interpreter of a script is not there, another CPU
		unix.EAGAIN: false, unix.ENOMEM: false, unix.E2BIG: false, unix.ETXTBSY: false,
	} {
		var missing *programError
		require.Equal(t, ofImage, errors.As(startError("/bin/sh", nil, cause), &missing), cause)
	}
}

func TestExitCodeIsThatOfAShell(t *testing.T) {
	require.Equal(t, 3, exitCode(unix.WaitStatus(3<<8)))
	require.Equal(t, 137, exitCode(unix.WaitStatus(unix.SIGKILL)))
	require.Equal(t, 139, exitCode(unix.WaitStatus(unix.SIGSEGV|0x80)))
}

// Main kills every process that it sees, so it must refuse to run outside a container.
func TestMainOutsideContainerIsRefused(t *testing.T) {
	require.ErrorContains(t, Main(), "PID 1")
}

func TestAgentInheritsHighestOOMScore(t *testing.T) {
	score, err := openOOMScore()
	require.NoError(t, err)
	defer score.Close()
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	require.NoError(t, err)

	var inherited []byte
	require.NoError(t, score.runRaised(func() error {
		inherited, err = exec.Command("cat", "/proc/self/oom_score_adj").Output()
		return err
	}))
	require.Equal(t, "1000\n", string(inherited))
	after, err := os.ReadFile("/proc/self/oom_score_adj")
	require.NoError(t, err)
	require.Equal(t, own, after)
}
