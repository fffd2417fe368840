package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// newFaultyEngine returns a proxy to the host's Engine, and its address for Config.Host.
func newFaultyEngine(t *testing.T) (*faultproxy.HTTPProxy, string) {
	t.Helper()
	p, err := faultproxy.ListenHTTP(filepath.Join(socketDir(t), "engine.sock"), "/var/run/docker.sock")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p, "unix://" + p.Addr()
}

func isCreate(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/containers/create") }
func isStart(r *http.Request) bool  { return strings.HasSuffix(r.URL.Path, "/start") }
func isAttach(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/attach") }

func requireStartError(t *testing.T, err error, cause sandbox.StartFailure) {
	t.Helper()
	var failure *sandbox.StartError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, cause, failure.Cause, "%v", err)
}

// Whatever the Engine does with the creation and the start of a container: the error has the right cause, and no
// container is left. After the fault, the next job runs.
func TestFailedStartLeavesNothing(t *testing.T) {
	const long = time.Minute // longer than a start takes on a busy host
	for name, c := range map[string]struct {
		startTimeout time.Duration
		cause        sandbox.StartFailure
		// fault disturbs one request. returned is closed when Run has returned.
		fault func(e faultproxy.Exchange, returned <-chan struct{}) bool
	}{
		"creation refused": {long, sandbox.EngineRefused, func(e faultproxy.Exchange, _ <-chan struct{}) bool {
			if isCreate(e.Request) {
				e.Fail(http.StatusInternalServerError, "no space left on device")
			}
			return isCreate(e.Request)
		}},
		"creation answered with an error": {long, sandbox.EngineRefused, func(e faultproxy.Exchange, _ <-chan struct{}) bool {
			if isCreate(e.Request) {
				e.Forward()
				e.Fail(http.StatusGatewayTimeout, "the Engine did not answer in time")
			}
			return isCreate(e.Request)
		}},
		"answer to creation lost": {long, sandbox.EngineUnreachable, func(e faultproxy.Exchange, _ <-chan struct{}) bool {
			if isCreate(e.Request) {
				e.Forward()
				e.Disconnect()
			}
			return false
		}},
		"creation answered late": {time.Second, sandbox.StartTimedOut, func(e faultproxy.Exchange, returned <-chan struct{}) bool {
			if isCreate(e.Request) {
				answer := e.Forward()
				<-returned
				e.Answer(answer)
			}
			return isCreate(e.Request)
		}},
		"creation done late": {time.Second, sandbox.StartTimedOut, func(e faultproxy.Exchange, returned <-chan struct{}) bool {
			if isCreate(e.Request) {
				<-returned
				e.Answer(e.Forward())
			}
			return isCreate(e.Request)
		}},
		"connection not attached": {long, sandbox.EngineUnreachable, func(e faultproxy.Exchange, _ <-chan struct{}) bool {
			if isAttach(e.Request) {
				e.Disconnect()
			}
			return false
		}},
		"attaching refused": {long, sandbox.EngineRefused, func(e faultproxy.Exchange, _ <-chan struct{}) bool {
			if isAttach(e.Request) {
				e.Fail(http.StatusInternalServerError, "too many open files")
			}
			return isAttach(e.Request)
		}},
		"start done late": {3 * time.Second, sandbox.StartTimedOut, func(e faultproxy.Exchange, returned <-chan struct{}) bool {
			if isStart(e.Request) {
				<-returned
				e.Answer(e.Forward())
			}
			return isStart(e.Request)
		}},
		"start answered with an error": {long, sandbox.EngineRefused, func(e faultproxy.Exchange, _ <-chan struct{}) bool {
			if isStart(e.Request) {
				e.Forward()
				e.Fail(http.StatusInternalServerError, "context deadline exceeded")
			}
			return isStart(e.Request)
		}},
		"answer to start lost": {long, sandbox.EngineUnreachable, func(e faultproxy.Exchange, _ <-chan struct{}) bool {
			if isStart(e.Request) {
				e.Forward()
				e.Disconnect()
			}
			return false
		}},
	} {
		t.Run(name, func(t *testing.T) {
			engine, host := newFaultyEngine(t)
			d := newDriver(t, Config{Host: host, StartTimeout: c.startTimeout})
			require.NoError(t, d.Ping(t.Context()))
			returned := make(chan struct{})
			var disturbed atomic.Bool
			engine.Set(func(e faultproxy.Exchange) bool {
				if isCreate(e.Request) || isStart(e.Request) || isAttach(e.Request) {
					disturbed.Store(true)
				}
				return c.fault(e, returned)
			})
			_, err := d.Run(t.Context(), probe("exit", "0"))
			close(returned)
			require.True(t, disturbed.Load())
			requireStartError(t, err, c.cause)
			d.background.Wait()
			require.Empty(t, containers(t, d))
			require.Empty(t, socketDirs(t, d))

			engine.Set(nil)
			d.startTimeout = long
			require.Equal(t, sandbox.Exited, run(t, d, probe("exit", "0")).EndReason)
		})
	}
}

// A creation that reaches the Engine when the driver no longer waits for the answer fails: the directory that it mounts
// has been removed.
func TestCreationAfterRemovalFails(t *testing.T) {
	engine, host := newFaultyEngine(t)
	d := newDriver(t, Config{Host: host, StartTimeout: 100 * time.Millisecond})
	require.NoError(t, d.Ping(t.Context()))
	forgotten, status := make(chan struct{}), make(chan int, 1)
	engine.Set(func(e faultproxy.Exchange) bool {
		if isCreate(e.Request) {
			<-forgotten
			status <- e.Forward().Code
		}
		return isCreate(e.Request)
	})
	_, err := d.Run(t.Context(), probe("exit", "0"))
	requireStartError(t, err, sandbox.StartTimedOut)
	d.background.Wait()
	close(forgotten)
	require.Equal(t, http.StatusBadRequest, <-status)
	require.Empty(t, containers(t, d))
}

// The end of the job's context is no failure of the Engine, and what was begun is removed.
func TestCancelDuringStartLeavesNothing(t *testing.T) {
	for name, step := range map[string]func(*http.Request) bool{"creation": isCreate, "start": isStart} {
		t.Run(name, func(t *testing.T) {
			engine, host := newFaultyEngine(t)
			d := newDriver(t, Config{Host: host})
			reached, returned := make(chan struct{}), make(chan struct{})
			engine.Set(func(e faultproxy.Exchange) bool {
				if step(e.Request) {
					close(reached)
					<-returned
				}
				return false
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("canceled by the client")
			var group errgroup.Group
			group.Go(func() error { _, err := d.Run(ctx, probe("exit", "0")); return err })
			<-reached
			cancel(cause)
			err := group.Wait()
			close(returned)
			require.Equal(t, cause, err)
			d.background.Wait()
			require.Empty(t, containers(t, d))
			require.Empty(t, socketDirs(t, d))
		})
	}
}

// The Engine never has more starts in progress than the gate has places. One that was given up counts until the Engine
// has answered.
func TestStartsInProgressAreLimited(t *testing.T) {
	engine, host := newFaultyEngine(t)
	d := newDriver(t, Config{Host: host, StartTimeout: time.Minute})
	require.NoError(t, d.Ping(t.Context()))
	var inProgress, most atomic.Int64
	created, release := make(chan struct{}, 100), make(chan struct{})
	engine.Set(func(e faultproxy.Exchange) bool {
		if isCreate(e.Request) {
			most.Store(max(most.Load(), inProgress.Add(1)))
			created <- struct{}{}
			<-release
			inProgress.Add(-1)
			e.Fail(http.StatusInternalServerError, "no space left on device")
		}
		return isCreate(e.Request)
	})
	ctx, cancel := context.WithCancel(t.Context())
	places := parallelStarts()
	var canceled, waiting errgroup.Group
	for range places {
		canceled.Go(func() error { _, err := d.Run(ctx, probe("exit", "0")); return err })
	}
	for range places {
		<-created
	}
	cancel()
	require.ErrorIs(t, canceled.Wait(), context.Canceled)
	for range 3 * places {
		waiting.Go(func() error { _, err := d.Run(t.Context(), probe("exit", "0")); return err })
	}
	require.Eventually(t, func() bool { return waitingAt(&d.gate) == 3*places }, time.Minute, time.Millisecond)
	close(release)
	requireStartError(t, waiting.Wait(), sandbox.EngineRefused)
	require.EqualValues(t, places, most.Load())
}

func TestProbe(t *testing.T) {
	engine, host := newFaultyEngine(t)
	d := newDriver(t, Config{Host: host})
	require.NoError(t, d.Probe(t.Context()), "no image is known")
	run(t, d, probe("exit", "0"))
	require.NoError(t, d.Probe(t.Context()))

	engine.Set(func(e faultproxy.Exchange) bool {
		if isStart(e.Request) {
			e.Fail(http.StatusInternalServerError, "no space left on device")
		}
		return isStart(e.Request)
	})
	job := probe("exit", "0")
	job.Limits.PIDs = 100
	_, err := d.Run(t.Context(), job)
	requireStartError(t, err, sandbox.EngineRefused)
	requireStartError(t, d.Probe(t.Context()), sandbox.EngineRefused)
	engine.Set(nil)
	require.NoError(t, d.Probe(t.Context()))
	d.background.Wait()
	require.Empty(t, containers(t, d))

	gone := newDriver(t, Config{Host: "unix:///nonexistent/docker.sock"})
	requireStartError(t, gone.Probe(t.Context()), sandbox.EngineUnreachable)
}

func TestTry(t *testing.T) {
	d := newDriver(t, Config{})
	began := time.Now()
	job := probe("sleep", "1h")
	job.Timeout = time.Second
	require.NoError(t, d.Try(t.Context(), job), "it is ended")
	require.Less(t, time.Since(began), 30*time.Second)
	require.NoError(t, d.Try(t.Context(), probe("exit", "3")), "the agent has started")

	missing := probe("exit", "0")
	missing.Image = "airlock/no-such-image:dev"
	requireStartError(t, d.Try(t.Context(), missing), sandbox.ImageMissing)
	noProgram := probe()
	noProgram.Argv = []string{"/no-such-program"}
	requireStartError(t, d.Try(t.Context(), noProgram), sandbox.ImageUnusable)
	d.background.Wait()
	require.Empty(t, containers(t, d))
}

// The Engine refuses containers with these limits and starts others, so it is not at fault.
func TestProbeFindsContainerThatCannotStart(t *testing.T) {
	d := newDriver(t, Config{WarmPools: []WarmPool{{Job: sandbox.Job{Image: probeImage}}}})
	job := probe("exit", "0")
	job.Limits.Memory = 1 << 20 // less than the Engine allows
	_, err := d.Run(t.Context(), job)
	requireStartError(t, err, sandbox.EngineRefused)
	require.NoError(t, d.Probe(t.Context()))
	_, err = d.Run(t.Context(), job)
	requireStartError(t, err, sandbox.ImageUnusable)
}

func TestStartFailuresOfAnImage(t *testing.T) {
	d := newDriver(t, Config{})
	for name, c := range map[string]struct {
		change func(*sandbox.Job)
		cause  sandbox.StartFailure
		err    error
	}{
		"missing":                   {func(j *sandbox.Job) { j.Image = "airlock/no-such-image:dev" }, sandbox.ImageMissing, ErrNoImage},
		"without init":              {func(j *sandbox.Job) { j.Image = imageWithoutInit(t, d) }, sandbox.ImageUnusable, ErrRefused},
		"with a volume":             {func(j *sandbox.Job) { j.Image = imageWithVolume(t, d) }, sandbox.ImageUnusable, errImageRefused},
		"more CPUs than the host's": {func(j *sandbox.Job) { j.Limits.CPUs = 1000 }, sandbox.ImageUnusable, ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			job := probe("exit", "0")
			c.change(&job)
			_, err := d.Run(t.Context(), job)
			requireStartError(t, err, c.cause)
			require.ErrorIs(t, err, c.err)
		})
	}
}

// imageWithVolume returns the probe image with a volume.
func imageWithVolume(t *testing.T, d *Driver) string {
	t.Helper()
	const name = "airlock/test-volume:dev"
	created, err := d.api.ContainerCreate(t.Context(), &container.Config{Image: probeImage}, nil, nil, nil, "")
	require.NoError(t, err)
	_, err = d.api.ContainerCommit(t.Context(), created.ID, container.CommitOptions{Reference: name, Changes: []string{"VOLUME /data"}})
	require.NoError(t, errors.Join(err, d.api.ContainerRemove(t.Context(), created.ID, container.RemoveOptions{})))
	removeImageAfterTest(t, d, name)
	return name
}

func removeImageAfterTest(t *testing.T, d *Driver, name string) {
	t.Helper()
	t.Cleanup(func() {
		d.background.Wait() // the container is removed
		_, err := d.api.ImageRemove(context.Background(), name, image.RemoveOptions{})
		require.NoError(t, err)
	})
}

// imageWithoutInit returns an image without files.
func imageWithoutInit(t *testing.T, d *Driver) string {
	t.Helper()
	const name = "airlock/test-without-init:dev"
	var content bytes.Buffer
	require.NoError(t, tar.NewWriter(&content).Close())
	imported, err := d.api.ImageImport(t.Context(), image.ImportSource{Source: &content, SourceName: "-"}, name, image.ImportOptions{})
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, imported)
	require.NoError(t, errors.Join(err, imported.Close()))
	removeImageAfterTest(t, d, name)
	return name
}
