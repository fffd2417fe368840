package docker

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// crashDriver ends a driver as a crash of its process does: the kernel releases the lock, and nothing is removed.
func crashDriver(t *testing.T, d *Driver) {
	t.Helper()
	require.NoError(t, d.instance.unlock())
	require.NoError(t, d.api.Close())
}

func TestReapRemovesContainersOfDeadExecutor(t *testing.T) {
	dir := socketDir(t)
	dead, err := New(Config{SocketDir: dir})
	require.NoError(t, err)
	c, err := dead.prepare(t.Context(), probeSpec, "exe_1")
	require.NoError(t, err)
	egress := newGateway(echoBody)
	require.NoError(t, c.serveEgress(t.Context(), egress))
	name := dead.instance.name
	d := newDriver(t, Config{SocketDir: dir})

	require.NoError(t, d.Reap(t.Context()))
	require.Len(t, containers(t, dead), 1, "its executor still runs")
	require.DirExists(t, c.socketDir)

	crashDriver(t, dead)
	require.NoError(t, d.Reap(t.Context()))
	require.Empty(t, containers(t, &Driver{api: d.api, instance: dead.instance}))
	require.NoDirExists(t, filepath.Join(dir, name))
	require.NoFileExists(t, filepath.Join(dir, name+lockSuffix))
	c.stream.Close()
	require.NoError(t, egress.Close())
	require.NoError(t, <-c.egressDone)
}

// After a reboot of the host, /run is empty, but the containers still exist.
func TestReapRemovesContainersWithoutSocketDir(t *testing.T) {
	dir := socketDir(t)
	dead, err := New(Config{SocketDir: dir})
	require.NoError(t, err)
	c, err := dead.prepare(t.Context(), probeSpec, "exe_1")
	require.NoError(t, err)
	c.stream.Close()
	crashDriver(t, dead)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	d := newDriver(t, Config{SocketDir: dir})

	require.NoError(t, d.Reap(t.Context()))
	require.Empty(t, containers(t, &Driver{api: d.api, instance: dead.instance}))
}

// An executor stops in time even if the Engine hangs. The next executor removes the containers that are left.
func TestCloseReturnsWhileEngineHangs(t *testing.T) {
	dir := socketDir(t)
	engine, err := faultproxy.Listen("unix", filepath.Join(socketDir(t), "engine.sock"), "/var/run/docker.sock")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	stopping, err := New(Config{SocketDir: dir, Host: "unix://" + engine.Addr()})
	require.NoError(t, err)
	c, err := stopping.prepare(t.Context(), probeSpec, "exe_1")
	require.NoError(t, err)
	engine.Set(faultproxy.BlackHole)
	stopping.discard(t.Context(), c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.NoError(t, stopping.Close(ctx))

	d := newDriver(t, Config{SocketDir: dir})
	next := &Driver{api: d.api, instance: stopping.instance}
	require.Len(t, containers(t, next), 1)
	require.NoError(t, d.Reap(t.Context()))
	require.Empty(t, containers(t, next))
	engine.Clear()
	stopping.background.Wait()
}

func TestReapIgnoresForeignContainers(t *testing.T) {
	d := newDriver(t, Config{})
	foreign := map[string]map[string]string{
		"no labels":             nil,
		"another socket folder": {labelRole: roleSandbox, labelInstance: newToken(), labelSocketDir: "/elsewhere"},
		"not a sandbox":         {labelInstance: newToken(), labelSocketDir: d.instance.dir},
		"no instance":           {labelRole: roleSandbox, labelSocketDir: d.instance.dir},
		"a path as instance":    {labelRole: roleSandbox, labelInstance: "../x", labelSocketDir: d.instance.dir},
	}
	ids := map[string]string{}
	for name, labels := range foreign {
		created, err := d.api.ContainerCreate(t.Context(), &container.Config{Image: probeImage, Labels: labels}, nil, nil, nil, "")
		require.NoError(t, err)
		ids[name] = created.ID
		t.Cleanup(func() { require.NoError(t, d.removeContainer(context.Background(), created.ID)) })
	}
	require.NoError(t, os.WriteFile(filepath.Join(d.instance.dir, "notes.txt"), nil, 0o600))

	require.NoError(t, d.Reap(t.Context()))
	for name, id := range ids {
		_, err := d.api.ContainerInspect(t.Context(), id)
		require.NoError(t, err, name)
	}
	require.FileExists(t, filepath.Join(d.instance.dir, "notes.txt"))
}

func TestConcurrentReapsSucceed(t *testing.T) {
	dir := socketDir(t)
	for range 3 {
		dead, err := New(Config{SocketDir: dir})
		require.NoError(t, err)
		crashDriver(t, dead)
	}
	drivers := []*Driver{newDriver(t, Config{SocketDir: dir}), newDriver(t, Config{SocketDir: dir})}
	var group errgroup.Group
	for _, d := range drivers {
		group.Go(func() error { return d.Reap(t.Context()) })
	}
	require.NoError(t, group.Wait())
	names, err := listInstances(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{drivers[0].instance.name, drivers[1].instance.name}, names)
}

// The kernel closes the connection of a killed executor, so init's input ends, and init ends the container.
func TestContainerEndsWhenExecutorIsKilled(t *testing.T) {
	dir := socketDir(t)
	executor := exec.Command(os.Args[0])
	executor.Env = append(os.Environ(), killedExecutorEnv+"="+dir)
	stdout, err := executor.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, executor.Start())
	_, err = stdout.Read(make([]byte, 1)) // the job runs
	require.NoError(t, err)
	names, err := listInstances(dir)
	require.NoError(t, err)
	require.Len(t, names, 1)
	d := newDriver(t, Config{SocketDir: dir})
	running := containers(t, &Driver{api: d.api, instance: &instance{name: names[0]}})
	require.Len(t, running, 1)

	require.NoError(t, executor.Process.Kill())
	_ = executor.Wait()
	exited, errs := d.api.ContainerWait(t.Context(), running[0].ID, container.WaitConditionNotRunning)
	select {
	case <-exited:
	case err := <-errs:
		require.NoError(t, err)
	}
	require.NoError(t, d.Reap(t.Context()))
	require.Empty(t, containers(t, &Driver{api: d.api, instance: &instance{name: names[0]}}))
}

// killedExecutorEnv makes the test binary an executor, which a test kills. Its value is the socket folder.
const killedExecutorEnv = "AIRLOCK_TEST_KILLED_EXECUTOR"

// runUntilKilled runs a job without an end. It prints a dot when the job runs.
func runUntilKilled(dir string) error {
	d, err := New(Config{SocketDir: dir})
	if err != nil {
		return err
	}
	g := newGate()
	g.gateway.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = os.Stdout.WriteString(".")
		<-r.Context().Done()
	})
	_, err = d.Run(context.Background(), g.job())
	return err
}
