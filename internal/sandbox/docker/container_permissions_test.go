package docker

import (
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// containers returns the driver's containers on the Engine.
func containers(tb testing.TB, d *Driver) []container.Summary {
	tb.Helper()
	list, err := d.api.ContainerList(tb.Context(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", labelInstance+"="+d.instance.name)),
	})
	require.NoError(tb, err)
	return list
}

// This test reads the settings of a running container from the Engine.
func TestContainerHasItsSettings(t *testing.T) {
	d := newDriver(t, Config{Executor: "here"})
	g := newGate()
	job := g.job()
	job.Limits = sandbox.Limits{Memory: 256 << 20, CPUs: 0.5, PIDs: 64}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := d.Run(t.Context(), job)
		assert.NoError(t, err)
	}()
	<-g.reached
	list := containers(t, d)
	require.Len(t, list, 1)
	info, err := d.api.ContainerInspect(t.Context(), list[0].ID)
	require.NoError(t, err)
	close(g.release)
	<-done

	host := info.HostConfig
	require.Equal(t, []string{"ALL"}, []string(host.CapDrop))
	require.Empty(t, host.CapAdd)
	require.False(t, host.Privileged)
	require.Contains(t, host.SecurityOpt, "no-new-privileges")
	require.Len(t, host.SecurityOpt, 2, "no-new-privileges and the seccomp profile")
	uid, ok := parseUser(info.Config.User)
	require.True(t, ok && d.uids.Contains(uid), info.Config.User)
	require.True(t, host.ReadonlyRootfs)
	require.EqualValues(t, 256<<20, host.Memory)
	require.Equal(t, host.Memory, host.MemorySwap)
	if host.OomKillDisable != nil {
		require.False(t, *host.OomKillDisable)
	}
	require.Equal(t, 500, host.OomScoreAdj)
	require.EqualValues(t, 5e8, host.NanoCPUs)
	require.EqualValues(t, 64, *host.PidsLimit)
	require.Equal(t, "none", string(host.NetworkMode))
	require.Equal(t, "private", string(host.IpcMode))
	require.Equal(t, "private", string(host.CgroupnsMode))
	require.Empty(t, host.PidMode)
	require.Empty(t, host.UTSMode)
	require.Empty(t, host.UsernsMode)
	require.Equal(t, "none", host.LogConfig.Type)
	require.False(t, host.AutoRemove)
	require.Empty(t, host.Binds)
	require.True(t, info.Config.NetworkDisabled)
	require.Len(t, info.Mounts, len(mounts("")))
	for _, m := range info.Mounts {
		require.False(t, m.RW, m.Destination)
	}
	for path, options := range host.Tmpfs {
		require.Regexp(t, `nosuid,nodev,size=\d+m,mode=`, options, path)
	}
	require.Equal(t, map[string]string{
		labelRole: "sandbox", labelExecutor: "here", labelExecution: "exe_test",
		labelInstance: d.instance.name, labelSocketDir: d.instance.dir, "airlock.source": info.Config.Labels["airlock.source"],
	}, info.Config.Labels)
}
