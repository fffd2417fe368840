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

func try(work func() error) (err error) {
	defer supervise.Panic(&err)
	return work()
}

func explode() error { panic(io.EOF) }

func TestAPanicIsTheErrorOfItsWork(t *testing.T) {
	err := try(explode)
	var caught *supervise.Error
	require.ErrorAs(t, err, &caught)
	require.Equal(t, io.EOF, caught.Value)
	require.Contains(t, string(caught.Stack), "supervise_test.explode", "where it came from")
	require.Contains(t, err.Error(), "EOF")
	require.Contains(t, err.Error(), "supervise_test.explode")
	require.NotErrorIs(t, err, io.EOF, "a panic is no answer")
}

func TestTheRuntimesOwnPanicsToo(t *testing.T) {
	var none map[string]int
	require.ErrorContains(t, try(func() error { none["x"] = 1; return nil }), "nil map")
	require.ErrorContains(t, try(func() error { panic(nil) }), "nil")
}

func TestWithoutAPanicNothingChanges(t *testing.T) {
	require.NoError(t, try(func() error { return nil }))
	failed := errors.New("failed")
	require.Equal(t, failed, try(func() error { return failed }))
}

func TestAPanicThatNobodyWaitsForIsLogged(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	func() {
		defer supervise.Log(zap.New(core), "it broke off")
		_ = explode()
	}()
	func() { defer supervise.Log(zap.New(core), "it did not") }()
	require.Len(t, logs.All(), 1)
	require.Equal(t, "it broke off", logs.All()[0].Message)
	require.Contains(t, logs.All()[0].ContextMap()["error"], "supervise_test.explode")
}
