package agentruntime_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox/docker"
)

// Images built by scripts/images.sh.
const (
	offlineImage = "airlock/sandbox-offline:dev"
	claudeImage  = "airlock/sandbox-claude:dev"
)

// builtinRuntime returns a built-in runtime with another image.
func builtinRuntime(name, image string, gw *gateway.Gateway) agentruntime.Runtime {
	for _, entry := range catalog.Builtin().Runtimes {
		if entry.Name == name {
			entry.Image = image
			return agentruntime.FromCatalog(entry, gw)
		}
	}
	panic("no runtime " + name)
}

func offlineRuntime(image string) agentruntime.Runtime { return builtinRuntime("offline", image, nil) }

func claudeRuntime(image string, gw *gateway.Gateway) agentruntime.Runtime {
	return builtinRuntime("claude", image, gw)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newDriver fails if the image is missing. It does not skip the test, because a green run without these tests would
// prove nothing.
func newDriver(t *testing.T, image string) *docker.Driver {
	t.Helper()
	dir, err := os.MkdirTemp("", "airlock") // t.TempDir's paths are too long for sockets
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	d, err := docker.New(docker.Config{Executor: "runtime-test", SocketDir: dir, Log: zaptest.NewLogger(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	_, err = d.Check(t.Context(), image)
	require.NoError(t, err, "this test needs a Docker Engine (scripts/engine.sh up) and the image %s (scripts/images.sh)", image)
	return d
}
