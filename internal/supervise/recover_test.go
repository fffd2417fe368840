package supervise_test

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/supervise"
)

func runRecovered(work func() error) (err error) {
	defer supervise.RecoverTo(&err)
	return work()
}

func panicWithEOF() error { panic(io.EOF) }

func TestRecoverToReturnsPanicAsError(t *testing.T) {
	err := runRecovered(panicWithEOF)
	var caught *supervise.PanicError
	require.ErrorAs(t, err, &caught)
	require.Equal(t, io.EOF, caught.Value)
	require.Contains(t, string(caught.Stack), "supervise_test.panicWithEOF", "the stack shows where the panic came from")
	require.Contains(t, err.Error(), "EOF")
	require.Contains(t, err.Error(), "supervise_test.panicWithEOF")
	require.NotErrorIs(t, err, io.EOF, "a panic does not count as the error that it was raised with")
}

func TestRecoverToCatchesRuntimePanics(t *testing.T) {
	var none map[string]int
	require.ErrorContains(t, runRecovered(func() error { none["x"] = 1; return nil }), "nil map")
	require.ErrorContains(t, runRecovered(func() error { panic(nil) }), "nil")
}

func TestRecoverToWithoutPanicKeepsError(t *testing.T) {
	require.NoError(t, runRecovered(func() error { return nil }))
	failed := errors.New("failed")
	require.Equal(t, failed, runRecovered(func() error { return failed }))
}

func TestRecoverLogLogsPanic(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	func() {
		defer supervise.RecoverLog(zap.New(core), "work panicked")
		_ = panicWithEOF()
	}()
	func() { defer supervise.RecoverLog(zap.New(core), "work did not panic") }()
	require.Len(t, logs.All(), 1)
	require.Equal(t, "work panicked", logs.All()[0].Message)
	require.Contains(t, logs.All()[0].ContextMap()["error"], "supervise_test.panicWithEOF")
}
