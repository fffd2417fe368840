package process

import (
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"
)

func TestFirstSignalCancelsContext(t *testing.T) {
	ctx, stop := Context()
	defer stop()
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	select {
	case <-ctx.Done():
	case <-time.After(2 * time.Minute):
		t.Fatal("the signal did not end the context")
	}
}

// twoSignalsEnv is set for the child process of TestSecondSignalKillsProcess.
const twoSignalsEnv = "AIRLOCK_TEST_TWO_SIGNALS"

// The second signal ends the process even if it comes right after the end of the context.
func TestSecondSignalKillsProcess(t *testing.T) {
	if os.Getenv(twoSignalsEnv) != "" {
		ctx, stop := Context()
		defer stop()
		for range 2 {
			require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
			<-ctx.Done()
		}
		time.Sleep(2 * time.Minute) // the second signal ends the process meanwhile
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", t.Name()+"$")
	cmd.Env = append(os.Environ(), twoSignalsEnv+"=1")
	require.Error(t, cmd.Run())
	ended, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.Equal(t, syscall.SIGTERM, ended.Signal(), "%s", cmd.ProcessState)
}

func TestLogLevel(t *testing.T) {
	for text, level := range map[string]zapcore.Level{"": zapcore.InfoLevel, "debug": zapcore.DebugLevel, "error": zapcore.ErrorLevel} {
		t.Setenv("AIRLOCK_LOG_LEVEL", text)
		log, err := Logger()
		require.NoError(t, err)
		require.Equal(t, level, log.Level())
	}
	t.Setenv("AIRLOCK_LOG_LEVEL", "loud")
	_, err := ConsoleLogger()
	require.ErrorContains(t, err, "AIRLOCK_LOG_LEVEL must be")
}

func TestGOGCOverridesRelaxGC(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	t.Setenv("GOGC", "77")
	RelaxGC()
	require.Equal(t, 77, debug.SetGCPercent(77))
	require.NoError(t, os.Unsetenv("GOGC"))
	RelaxGC()
	require.Equal(t, relaxedGCPercent, debug.SetGCPercent(77))
}
