package docker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

func TestOneHolderOfAPlace(t *testing.T) {
	dir := socketDir(t)
	alive, err := enroll(dir)
	require.NoError(t, err)
	_, err = claim(dir, alive.name)
	require.ErrorIs(t, err, errAlive)

	require.NoError(t, alive.abandon())
	dead, err := claim(dir, alive.name)
	require.NoError(t, err)
	require.DirExists(t, dead.path())
	require.NoError(t, dead.leave())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// However many want a place and give it up at once, one at a time has it.
func TestClaimsDoNotOverlap(t *testing.T) {
	dir, name := socketDir(t), token()
	inside := make(chan struct{}, 1)
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			for range 200 {
				i, err := claim(dir, name)
				if errors.Is(err, errAlive) {
					continue
				}
				if err != nil {
					return err
				}
				inside <- struct{}{}
				require.Len(t, inside, 1)
				<-inside
				if err := i.leave(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

func TestSocketFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(socketDir(t), "new", "folder")
	i, err := enroll(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, i.leave()) }()
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestSocketFolderWithALongPath(t *testing.T) {
	_, err := New(Options{SocketDir: filepath.Join(socketDir(t), strings.Repeat("d", 80))})
	require.ErrorContains(t, err, "too long")
}

func TestSocketIsTheSandboxUsersAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a socket away")
	}
	folder := socketDir(t)
	listener, err := listen(t.Context(), folder)
	require.NoError(t, err)
	defer listener.Close()
	info, err := os.Stat(filepath.Join(folder, socketName))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.Equal(t, uint32(uid), owner(info))
}
