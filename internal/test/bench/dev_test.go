package bench

import (
	"context"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	engine "github.com/docker/docker/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/app/executorservice"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// devAirlock is everything, wired as `airlock dev` does it and with its settings.
type devAirlock struct {
	b      *testing.B
	config dev.Config
	client *client.Client
	docker *engine.Client
}

// startDev runs it with Claude Code, whose model is at modelURL, until the benchmark ends.
func startDev(b *testing.B, modelURL *url.URL) *devAirlock {
	b.Helper()
	config, err := dev.Load()
	require.NoError(b, err)
	config.API.ListenAddr, config.Emulators.PubSub, config.Emulators.Firestore = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	config.Emulators.Dir = b.TempDir()
	config.Executor.Name, config.Executor.Slots = id.New("bench-"), 4
	config.Executor.HealthListenAddr = freeAddr(b)
	config.Executor.AnthropicAPIKey, config.Executor.AnthropicBaseURL = "sk-ant-stand-in", modelURL
	config.Executor.SocketDir, err = os.MkdirTemp("/tmp", "airlock-") // the path of a socket must be short
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(config.Executor.SocketDir)) })

	ctx, cancel := context.WithCancel(context.Background())
	started, ended := make(chan dev.Started, 1), make(chan error, 1)
	go func() { ended <- dev.Run(ctx, config, zap.NewNop(), func(s dev.Started) { started <- s }) }()
	b.Cleanup(func() {
		cancel()
		require.NoError(b, <-ended)
	})
	a := &devAirlock{b: b, config: config}
	select {
	case s := <-started:
		a.client, err = client.New("http://" + s.API)
		require.NoError(b, err)
	case err := <-ended:
		ended <- nil
		require.NoError(b, err)
		b.Fatal("Airlock stopped before it listened")
	}
	a.docker, err = engine.NewClientWithOpts(engine.FromEnv, engine.WithAPIVersionNegotiation())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, a.docker.Close()) })
	require.EventuallyWithT(b, func(c *assert.CollectT) {
		r, err := executorservice.AskReadiness(b.Context(), config.Executor.HealthListenAddr)
		require.NoError(c, err)
		require.Equal(c, executorservice.Ready, r.Status, r.Reason)
	}, 5*time.Minute, 100*time.Millisecond)
	return a
}

// freeAddr returns an address on which nobody listens.
func freeAddr(b *testing.B) string {
	b.Helper()
	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	require.NoError(b, l.Close())
	return l.Addr().String()
}
