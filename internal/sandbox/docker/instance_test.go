package docker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestInstanceLockIsExclusive(t *testing.T) {
	dir := socketDir(t)
	alive, err := registerInstance(dir)
	require.NoError(t, err)
	_, err = lockInstance(dir, alive.name)
	require.ErrorIs(t, err, errInstanceLocked)

	require.NoError(t, alive.unlock())
	dead, err := lockInstance(dir, alive.name)
	require.NoError(t, err)
	require.DirExists(t, dead.path())
	require.NoError(t, dead.remove())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// Many goroutines lock and remove the same instance. Only one of them holds it at a time.
func TestConcurrentInstanceLocksAreExclusive(t *testing.T) {
	dir, name := socketDir(t), newToken()
	holders := make(chan struct{}, 1)
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			for range 200 {
				i, err := lockInstance(dir, name)
				if errors.Is(err, errInstanceLocked) {
					continue
				}
				if err != nil {
					return err
				}
				holders <- struct{}{}
				require.Len(t, holders, 1)
				<-holders
				if err := i.remove(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

func TestSocketDirIsPrivate(t *testing.T) {
	dir := filepath.Join(socketDir(t), "new", "dir")
	i, err := registerInstance(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, i.remove()) }()
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestTooLongSocketDirIsRefused(t *testing.T) {
	_, err := New(Config{SocketDir: filepath.Join(socketDir(t), strings.Repeat("d", 80))})
	require.ErrorContains(t, err, "too long")
}

func TestEgressSocketBelongsToSandboxUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can change the owner of a socket")
	}
	dir := socketDir(t)
	listener, err := listenEgress(t.Context(), dir, sandbox.DefaultUIDs.First)
	require.NoError(t, err)
	defer listener.Close()
	info, err := os.Stat(filepath.Join(dir, socketName))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, uint32(sandbox.DefaultUIDs.First), fileUID(info))
}
