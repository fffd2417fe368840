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
)

func TestEngineUnreachable(t *testing.T) {
	d := newDriver(t, Options{Host: "unix:///nonexistent/docker.sock"})
	_, err := d.Run(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrUnreachable)
	require.ErrorIs(t, d.Ping(t.Context()), ErrUnreachable)
	require.ErrorIs(t, d.Reap(t.Context()), ErrUnreachable)
	_, err = d.Check(t.Context(), probeImage)
	require.ErrorIs(t, err, ErrUnreachable)
}

// An executor begins with several calls at once. (What fails here is -race.)
func TestConcurrentFirstCalls(t *testing.T) {
	d := newDriver(t, Options{})
	var group errgroup.Group
	for range 4 {
		group.Go(func() error { return d.Ping(t.Context()) })
		group.Go(func() error { return d.Reap(t.Context()) })
		group.Go(func() error { _, err := d.Check(t.Context(), probeImage); return err })
	}
	require.NoError(t, group.Wait())
}

// engineThat answers as an Engine at its API's root does, and with handler otherwise.
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

func TestEngineError(t *testing.T) {
	d := newDriver(t, Options{Host: newFakeEngine(t, func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"message":"no space left on device"}`, http.StatusInternalServerError)
	})})
	_, err := d.Run(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrRefused)
}

func TestEngineHangs(t *testing.T) {
	d := newDriver(t, Options{
		StartTimeout: 100 * time.Millisecond,
		Host: newFakeEngine(t, func(_ http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				_, _ = io.Copy(io.Discard, r.Body) // or the server would not see the client leave
				<-r.Context().Done()
			}
		}),
	})
	_, err := d.Run(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrUnreachable)
}

func TestImageMissing(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe("exit", "0")
	job.Image = "airlock/no-such-image:dev"
	_, err := d.Run(t.Context(), job)
	require.ErrorIs(t, err, ErrNoImage)
	_, err = d.Check(t.Context(), probeImage, job.Image)
	require.ErrorIs(t, err, ErrNoImage)
}

func TestRuntimeMissing(t *testing.T) {
	d := newDriver(t, Options{Runtime: "no-such-runtime"})
	_, err := d.Check(t.Context(), probeImage)
	require.ErrorIs(t, err, ErrNoRuntime)
	_, err = d.Run(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrRefused)
}

func TestCheck(t *testing.T) {
	d := newDriver(t, Options{})
	facts, err := d.Check(t.Context(), probeImage)
	require.NoError(t, err)
	require.NotEmpty(t, facts.Version)
	require.True(t, facts.Seccomp)
	require.True(t, facts.MemoryLimit)
	require.Contains(t, []string{"1", "2"}, facts.CgroupVersion)
}

func TestAgentProgramMissing(t *testing.T) {
	d := newDriver(t, Options{})
	job := probe()
	job.Argv = []string{"claude"}
	_, err := d.Run(t.Context(), job)
	require.ErrorIs(t, err, ErrFault)
}

// A container whose removal failed is not forgotten.
func TestReapRemovesUnusedContainers(t *testing.T) {
	d := newDriver(t, Options{})
	c, err := d.prepare(t.Context(), probeShape, "")
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

// A container that is killed from outside is the sandbox's failure, not the
// job's, and not mistaken for a lack of memory.
func TestContainerRemovedByOthers(t *testing.T) {
	d := newDriver(t, Options{})
	m := newGate()
	var group errgroup.Group
	group.Go(func() error {
		_, err := d.Run(t.Context(), m.job())
		return err
	})
	<-m.reached
	require.NoError(t, d.api.ContainerRemove(context.Background(), containers(t, d)[0].ID, container.RemoveOptions{Force: true}))
	require.ErrorIs(t, group.Wait(), ErrLost)
}

func TestInitExitsBeforeJob(t *testing.T) {
	d := newDriver(t, Options{})
	c, err := d.prepare(t.Context(), probeShape, "")
	require.NoError(t, err)
	require.NoError(t, d.api.ContainerKill(t.Context(), c.id, "KILL"))
	_, err = d.runInContainer(t.Context(), c, normalizedJob(t, probe("exit", "0")), time.Now())
	require.ErrorIs(t, err, ErrLost)
	<-d.discard(t.Context(), c)
}
