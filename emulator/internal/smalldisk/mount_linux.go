package smalldisk

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func mount(t testing.TB, dir, size string) {
	t.Helper()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
}
