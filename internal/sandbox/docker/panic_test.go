package docker

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A panic in a background task for one container does not end the process, which runs the jobs of others.
func TestPanicStaysWithItsContainer(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	d := &Driver{log: zap.New(core)}
	d.inBackground(func() { panic("on purpose") })
	d.background.Wait()
	require.Equal(t, 1, logs.Len())
	require.Contains(t, logs.All()[0].ContextMap()["error"], "TestPanicStaysWithItsContainer")
}
