package process

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"
)

func TestTheFirstSignalEndsTheContext(t *testing.T) {
	ctx, stop := Context()
	defer stop()
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the signal was not heard")
	}
}

func TestLevelOfTheLog(t *testing.T) {
	for text, level := range map[string]zapcore.Level{"": zapcore.InfoLevel, "debug": zapcore.DebugLevel, "error": zapcore.ErrorLevel} {
		t.Setenv("LOG_LEVEL", text)
		log, err := Logger()
		require.NoError(t, err)
		require.Equal(t, level, log.Level())
	}
	t.Setenv("LOG_LEVEL", "loud")
	_, err := ConsoleLogger()
	require.ErrorContains(t, err, "LOG_LEVEL must be")
}
