package docker

import (
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// Executors that share a socket folder never have the same ID at the same time.
func TestConcurrentClaimsAreExclusive(t *testing.T) {
	dir, uids := socketDir(t), sandbox.UIDRange{First: 1000, Last: 1009}
	held := make([]chan struct{}, uids.Size())
	for i := range held {
		held[i] = make(chan struct{}, 1)
	}
	var claims atomic.Int64
	var group errgroup.Group
	for range 5 {
		i, err := registerInstance(dir)
		require.NoError(t, err)
		for range 2 {
			group.Go(func() error {
				for range 100 {
					name := newToken()
					uid, err := i.makeContainerDir(name, uids)
					if errors.Is(err, errNoFreeUID) { // each ID was in use when it was tried
						continue
					}
					if err != nil {
						return err
					}
					claims.Add(1)
					held[uid-uids.First] <- struct{}{}
					require.Len(t, held[uid-uids.First], 1)
					<-held[uid-uids.First]
					if err := i.removeContainerDir(name); err != nil {
						return err
					}
				}
				return nil
			})
		}
		t.Cleanup(func() { require.NoError(t, i.remove()) })
	}
	require.NoError(t, group.Wait())
	require.Greater(t, claims.Load(), int64(100))
}

func TestNoFreeUID(t *testing.T) {
	dir, uids := socketDir(t), sandbox.UIDRange{First: 1000, Last: 1002}
	i, err := registerInstance(dir)
	require.NoError(t, err)
	used := map[int]string{}
	for range uids.Size() {
		name := newToken()
		uid, err := i.makeContainerDir(name, uids)
		require.NoError(t, err)
		require.True(t, uids.Contains(uid))
		used[uid] = name
	}
	require.Len(t, used, uids.Size())
	_, err = i.makeContainerDir(newToken(), uids)
	require.ErrorIs(t, err, errNoFreeUID)
	require.ErrorContains(t, err, "AIRLOCK_SANDBOX_UIDS")
	names, err := i.listContainers()
	require.NoError(t, err)
	require.Len(t, names, uids.Size(), "the refused one leaves nothing")

	require.NoError(t, i.removeContainerDir(used[1001]))
	uid, err := i.makeContainerDir(newToken(), uids)
	require.NoError(t, err)
	require.Equal(t, 1001, uid)
	require.NoError(t, i.remove())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// An executor may die between the steps of a claim. Nobody releases another container's ID.
func TestUnfinishedClaim(t *testing.T) {
	dir, uids := socketDir(t), sandbox.UIDRange{First: 1000, Last: 1000}
	i, err := registerInstance(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, i.remove()) }()
	owner, died := newToken(), newToken()
	_, err = i.makeContainerDir(owner, uids)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(i.containerFile(died), []byte(strconv.Itoa(1000)), 0o600)) // and no link
	require.NoError(t, i.removeContainerDir(died))
	_, err = i.makeContainerDir(newToken(), uids)
	require.ErrorIs(t, err, errNoFreeUID)
}

// The ID of a container is not free before its removal: neither while the container is warm, nor after the death of its
// executor, until a reaper has removed the container.
func TestUIDIsFreeAfterRemoval(t *testing.T) {
	dir, uids := socketDir(t), sandbox.UIDRange{First: 2_100_000_000, Last: 2_100_000_000}
	dead, err := New(Config{SocketDir: dir, UIDs: uids})
	require.NoError(t, err)
	c, err := dead.prepare(t.Context(), probeSpec, "")
	require.NoError(t, err)

	d := newDriver(t, Config{SocketDir: dir, UIDs: uids})
	var failed *sandbox.StartError
	_, err = d.Run(t.Context(), probe("exit", "0"))
	require.ErrorAs(t, err, &failed)
	require.Equal(t, sandbox.NoFreeUID, failed.Cause)
	require.False(t, failed.Cause.OfImage())

	require.NoError(t, dead.instance.unlock()) // as the kernel does at the death of the process
	_, err = d.Run(t.Context(), probe("exit", "0"))
	require.ErrorAs(t, err, &failed, "its container still runs")
	require.NoError(t, d.Reap(t.Context()))
	out := run(t, d, probe("exit", "0"))
	require.Equal(t, userAndGroup(c.uid), out.Record.Settings.User)
	d.background.Wait()
	run(t, d, probe("exit", "0"))

	c.stream.Close()
	require.NoError(t, dead.api.Close())
}

// A removal that failed, and that somebody else made up for, keeps no ID.
func TestReapReleasesUIDOfMissingContainer(t *testing.T) {
	uids := sandbox.UIDRange{First: 2_100_000_000, Last: 2_100_000_000}
	d := newDriver(t, Config{UIDs: uids})
	name := newToken()
	_, err := d.instance.makeContainerDir(name, uids)
	require.NoError(t, err)
	require.NoError(t, d.Reap(t.Context()))
	run(t, d, probe("exit", "0"))
}
