// Package e2e tests the whole product as its users use it: over HTTP, with the
// emulators on real ports, a real Docker Engine and real containers. It contains
// only tests.
package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/domain/id"
)

const engineSocket = "/var/run/docker.sock"

// TestMain checks the prerequisites first: without them, every test would fail.
func TestMain(m *testing.M) {
	if err := checkPrerequisites(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if programDir, err = os.MkdirTemp("", "airlock-programs-"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(programDir)
	return m.Run()
}

func checkPrerequisites() error {
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer docker.Close()
	for _, image := range []string{"airlock/sandbox-offline:dev", "airlock/sandbox-claude:dev"} {
		if _, err := docker.ImageInspect(context.Background(), image); err != nil {
			return fmt.Errorf("%w; `make engine images` sets up what the tests need", err)
		}
	}
	return nil
}

// airlock is a running Airlock, as one tenant uses it.
type airlock struct {
	t            *testing.T
	URL          string
	tenant       string // value of X-User-Id; empty: no header
	apiKey       string // empty: no Authorization header
	docker       *client.Client
	executorName string // of the executor whose containers the test inspects

	started dev.Started // addresses of an Airlock in this process
	stop    func()      // stops an Airlock in this process
}

// start runs an Airlock in this process, with the wiring of `airlock dev`, and stops it when the test ends. Each test
// has its own Airlock with its own folder of sockets.
func start(t *testing.T, change ...func(*dev.Config)) *airlock {
	t.Helper()
	return startWithLog(t, logger(t), change...)
}

func startWithLog(t *testing.T, log *zap.Logger, change ...func(*dev.Config)) *airlock {
	t.Helper()
	config, err := dev.Load()
	require.NoError(t, err)
	config.API.ListenAddr, config.Emulators.PubSub, config.Emulators.Firestore = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	config.API.ShutdownGracePeriod, config.Executor.ShutdownGracePeriod = 2*time.Second, 2*time.Second
	config.Executor.Name = id.New("test-")
	config.Executor.Slots = 4
	config.Executor.WarmPoolSize = 0 // each container then belongs to a job, and tests can count them
	config.Executor.SocketDir = newSocketDir(t)
	for _, c := range change {
		c(&config)
	}
	a := &airlock{t: t, docker: newDockerClient(t), executorName: config.Executor.Name}
	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan dev.Started, 1), make(chan error, 1)
	go func() {
		ended <- dev.Run(ctx, config, log, func(s dev.Started) { listening <- s })
	}()
	var stopped bool
	a.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-ended)
		require.Empty(t, a.containers(), "the executor left a container")
		entries, err := os.ReadDir(config.Executor.SocketDir)
		require.NoError(t, err)
		require.Empty(t, entries, "the executor left a socket")
	}
	t.Cleanup(a.stop)
	select {
	case s := <-listening:
		a.URL, a.started = "http://"+s.API, s
	case err := <-ended:
		ended <- err
		require.NoError(t, err)
		t.Fatal("Airlock stopped before it listened")
	}
	a.awaitReady()
	return a
}

// logger returns a logger that writes to the test's log.
func logger(t *testing.T) *zap.Logger {
	t.Helper()
	return zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel), zaptest.WrapOptions(zap.WithFatalHook(nil)))
}

// newSocketDir returns a folder for the sockets of executors. The path of t.TempDir is too long for a socket.
func newSocketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "airlock-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func newDockerClient(t *testing.T) *client.Client {
	t.Helper()
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { _ = docker.Close() })
	return docker
}

// asTenant returns the same Airlock for another tenant.
func (a *airlock) asTenant(tenant string) *airlock {
	other := *a
	other.tenant = tenant
	return &other
}

// withAPIKey returns the same Airlock for a caller with an API key.
func (a *airlock) withAPIKey(secret string) *airlock {
	other := *a
	other.apiKey = secret
	return &other
}

// containers returns the containers of the executor.
func (a *airlock) containers() []container.Summary {
	a.t.Helper()
	list, err := a.docker.ContainerList(context.Background(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", "airlock.executor="+a.executorName)),
	})
	require.NoError(a.t, err)
	return list
}

// awaitContainers waits until the executor has exactly n containers, and all of them run. One with which it tries a
// runtime does not count.
func (a *airlock) awaitContainers(n int) {
	a.t.Helper()
	a.eventually(fmt.Sprintf("%d running containers", n), func() bool {
		all := slices.DeleteFunc(a.containers(), func(c container.Summary) bool { return c.Labels["airlock.execution"] == "trial" })
		for _, c := range all {
			if c.State != container.StateRunning {
				return false
			}
		}
		return len(all) == n
	})
}

func (a *airlock) awaitNoContainers() {
	a.t.Helper()
	a.eventually("no containers", func() bool { return len(a.containers()) == 0 })
}
