package docker

import (
	"context"
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

// die ends a driver as a crash would: the kernel lets go of its lock, and
// nothing is cleaned up.
func crashDriver(t *testing.T, d *Driver) {
	t.Helper()
	require.NoError(t, d.instance.unlock())
	require.NoError(t, d.api.Close())
}

func TestReapDeadExecutor(t *testing.T) {
	dir := socketDir(t)
	dead, err := New(Options{SocketDir: dir})
	require.NoError(t, err)
	c, err := dead.prepare(t.Context(), probeShape, "exe_lost")
	require.NoError(t, err)
	egress := newGateway(echoBody)
	require.NoError(t, c.serveEgress(t.Context(), egress))
	name := dead.instance.name
	d := newDriver(t, Options{SocketDir: dir})

	require.NoError(t, d.Reap(t.Context()))
	require.Len(t, containers(t, dead), 1, "its executor still lives")
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

// After a reboot of the host /run is empty, and the containers are still there.
func TestReapWithoutSocketDir(t *testing.T) {
	dir := socketDir(t)
	dead, err := New(Options{SocketDir: dir})
	require.NoError(t, err)
	c, err := dead.prepare(t.Context(), probeShape, "exe_lost")
	require.NoError(t, err)
	c.stream.Close()
	crashDriver(t, dead)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, entry := range entries {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	d := newDriver(t, Options{SocketDir: dir})

	require.NoError(t, d.Reap(t.Context()))
	require.Empty(t, containers(t, &Driver{api: d.api, instance: dead.instance}))
}

// An Engine that hangs holds up no executor that is to stop. What it has not
// removed by then, the next executor removes.
func TestCloseEngineHangs(t *testing.T) {
	dir := socketDir(t)
	engine, err := faultproxy.Listen("unix", filepath.Join(socketDir(t), "engine.sock"), "/var/run/docker.sock")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	stopping, err := New(Options{SocketDir: dir, Host: "unix://" + engine.Addr()})
	require.NoError(t, err)
	c, err := stopping.prepare(t.Context(), probeShape, "exe_left")
	require.NoError(t, err)
	engine.Set(faultproxy.BlackHole)
	stopping.discard(t.Context(), c)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.NoError(t, stopping.Close(ctx))

	d := newDriver(t, Options{SocketDir: dir})
	next := &Driver{api: d.api, instance: stopping.instance}
	require.Len(t, containers(t, next), 1)
	require.NoError(t, d.Reap(t.Context()))
	require.Empty(t, containers(t, next))
	engine.Clear()
	stopping.background.Wait()
}

func TestReapIgnoresForeignContainers(t *testing.T) {
	d := newDriver(t, Options{})
	strangers := map[string]map[string]string{
		"no labels":         nil,
		"another's folder":  {labelRole: roleSandbox, labelInstance: newToken(), labelSocketDir: "/elsewhere"},
		"not a sandbox":     {labelInstance: newToken(), labelSocketDir: d.instance.dir},
		"no instance":       {labelRole: roleSandbox, labelSocketDir: d.instance.dir},
		"a path as its own": {labelRole: roleSandbox, labelInstance: "../x", labelSocketDir: d.instance.dir},
	}
	ids := map[string]string{}
	for name, labels := range strangers {
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

func TestReapConcurrent(t *testing.T) {
	dir := socketDir(t)
	for range 3 {
		dead, err := New(Options{SocketDir: dir})
		require.NoError(t, err)
		crashDriver(t, dead)
	}
	drivers := []*Driver{newDriver(t, Options{SocketDir: dir}), newDriver(t, Options{SocketDir: dir})}
	var group errgroup.Group
	for _, d := range drivers {
		group.Go(func() error { return d.Reap(t.Context()) })
	}
	require.NoError(t, group.Wait())
	names, err := listInstances(dir)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{drivers[0].instance.name, drivers[1].instance.name}, names)
}

// TestContainerDoesNotOutliveItsExecutor kills a process that uses the driver:
// init sees its input end, and the container with it.
func TestContainerEndsWhenExecutorKilled(t *testing.T) {
	dir := socketDir(t)
	executor := exec.Command(os.Args[0])
	executor.Env = append(os.Environ(), killedExecutorEnv+"="+dir)
	stdout, err := executor.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, executor.Start())
	one := make([]byte, 1)
	_, err = stdout.Read(one) // its job runs
	require.NoError(t, err)
	names, err := listInstances(dir)
	require.NoError(t, err)
	require.Len(t, names, 1)
	d := newDriver(t, Options{SocketDir: dir})
	left := containers(t, &Driver{api: d.api, instance: &instance{name: names[0]}})
	require.Len(t, left, 1)

	require.NoError(t, executor.Process.Kill())
	_ = executor.Wait()
	exits, failures := d.api.ContainerWait(t.Context(), left[0].ID, container.WaitConditionNotRunning)
	select {
	case <-exits:
	case err := <-failures:
		require.NoError(t, err)
	}
	require.NoError(t, d.Reap(t.Context()))
	require.Empty(t, containers(t, &Driver{api: d.api, instance: &instance{name: names[0]}}))
}
