package docker

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestUnreachableEngineIsReported(t *testing.T) {
	d := newDriver(t, Config{Host: "unix:///nonexistent/docker.sock"})
	_, err := d.Run(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrUnreachable)
	requireStartError(t, err, sandbox.EngineUnreachable)
	require.ErrorIs(t, d.Ping(t.Context()), ErrUnreachable)
	require.ErrorIs(t, d.Reap(t.Context()), ErrUnreachable)
	_, err = d.Check(t.Context(), probeImage)
	require.ErrorIs(t, err, ErrUnreachable)
}

// An executor starts with several concurrent calls. A failure shows with -race only.
func TestConcurrentFirstCallsSucceed(t *testing.T) {
	d := newDriver(t, Config{})
	var group errgroup.Group
	for range 4 {
		group.Go(func() error { return d.Ping(t.Context()) })
		group.Go(func() error { return d.Reap(t.Context()) })
		group.Go(func() error { _, err := d.Check(t.Context(), probeImage); return err })
	}
	require.NoError(t, group.Wait())
}

// newFakeEngine starts a server in place of an Engine and returns its address.
func newFakeEngine(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(socketDir(t), "engine.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	require.NoError(t, err)
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-done
	})
	return "unix://" + path
}

func TestEngineErrorIsReported(t *testing.T) {
	d := newDriver(t, Config{Host: newFakeEngine(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message":"no space left on device"}`, http.StatusInternalServerError)
	})})
	_, err := d.Run(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrRefused)
}

func TestHangingEngineIsUnreachable(t *testing.T) {
	d := newDriver(t, Config{
		StartTimeout: 100 * time.Millisecond,
		Host: newFakeEngine(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.Method {
			case http.MethodPost:
				_, _ = io.Copy(io.Discard, r.Body) // otherwise the server would not notice the end of the connection
				<-r.Context().Done()
			case http.MethodDelete:
				http.NotFound(w, r)
			}
		}),
	})
	_, err := d.Run(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrUnreachable)
	requireStartError(t, err, sandbox.StartTimedOut)
}

func TestMissingImageIsReported(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("exit", "0")
	job.Image = "airlock/no-such-image:dev"
	_, err := d.Run(t.Context(), job)
	require.ErrorIs(t, err, ErrNoImage)
	_, err = d.Check(t.Context(), probeImage, job.Image)
	require.ErrorIs(t, err, ErrNoImage)
}

func TestMissingRuntimeIsReported(t *testing.T) {
	d := newDriver(t, Config{Runtime: "no-such-runtime"})
	_, err := d.Check(t.Context(), probeImage)
	require.ErrorIs(t, err, ErrNoRuntime)
	_, err = d.Run(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrRefused)
	requireStartError(t, err, sandbox.EngineRefused)
}

func TestCheckReturnsEngineInfo(t *testing.T) {
	d := newDriver(t, Config{})
	info, err := d.Check(t.Context(), probeImage)
	require.NoError(t, err)
	require.NotEmpty(t, info.Version)
	require.True(t, info.Seccomp)
	require.True(t, info.MemoryLimit)
	require.Contains(t, []string{"1", "2"}, info.CgroupVersion)
}

func TestMissingAgentProgramIsReported(t *testing.T) {
	d := newDriver(t, Config{})
	for _, program := range []string{"claude", "/no/such/program", "/etc/passwd"} {
		job := probe()
		job.Argv = []string{program}
		out, err := d.Run(t.Context(), job)
		require.ErrorIs(t, err, ErrFault)
		requireStartError(t, err, sandbox.ImageUnusable)
		require.ErrorContains(t, err, program)
		require.NotZero(t, out.Record.Times.Dispatched)
		require.Zero(t, out.Record.Times.AgentStarted)
	}
	// The program of an input file says nothing about the image.
	job := probe()
	job.Argv = []string{"/workspace/program"}
	out, err := d.Run(t.Context(), job)
	require.ErrorIs(t, err, ErrFault)
	require.NotErrorAs(t, err, new(*sandbox.StartError))
	require.NotZero(t, out.Record.Times.AgentStarted)
}

// A container whose removal failed is removed by the next Reap.
func TestReapRemovesUnusedContainers(t *testing.T) {
	d := newDriver(t, Config{})
	c, err := d.prepare(t.Context(), probeSpec, "")
	require.NoError(t, err)
	require.NoError(t, d.Reap(t.Context()))
	require.Len(t, containers(t, d), 1, "in use")

	c.stream.Close()
	d.mu.Lock()
	clear(d.containers)
	d.mu.Unlock()
	require.NoError(t, d.Reap(t.Context()))
	require.Empty(t, containers(t, d))
	require.Empty(t, socketDirs(t, d))
}

// The removal of a container from outside is a failure of the sandbox. It is not an outcome of the job, such as an
// out-of-memory kill.
func TestContainerRemovedByOthersIsLost(t *testing.T) {
	d := newDriver(t, Config{})
	g := newGate()
	var group errgroup.Group
	group.Go(func() error {
		_, err := d.Run(t.Context(), g.job())
		return err
	})
	<-g.reached
	require.NoError(t, d.api.ContainerRemove(context.Background(), containers(t, d)[0].ID, container.RemoveOptions{Force: true}))
	require.ErrorIs(t, group.Wait(), ErrLost)
}

func TestInitKilledBeforeJobIsLost(t *testing.T) {
	d := newDriver(t, Config{})
	c, err := d.prepare(t.Context(), probeSpec, "")
	require.NoError(t, err)
	require.NoError(t, d.api.ContainerKill(t.Context(), c.id, "KILL"))
	r := &jobRun{driver: d, container: c, job: normalizedJob(t, probe("exit", "0")), calledAt: time.Now()}
	_, err = r.run(t.Context())
	require.ErrorIs(t, err, ErrLost)
	requireStartError(t, err, sandbox.EngineRefused)
	<-d.discard(t.Context(), c)
}
