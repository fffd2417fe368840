// Package smalldisk mounts a small disk in memory, for tests that fill it.
//
// It receives the size, and returns the folder, which the end of the test unmounts. Only root on Linux can mount: the
// package skips the test of any other user.
package smalldisk

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Disk is a small disk.
type Disk struct {
	Dir    string
	t      testing.TB
	filler string
}

// Mount mounts a disk of a size such as "64m".
func Mount(t testing.TB, size string) *Disk {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root on Linux can mount a small disk")
	}
	dir := t.TempDir()
	mount(t, dir, size)
	return &Disk{Dir: dir, t: t, filler: filepath.Join(dir, "filler")}
}

// Fill writes a file until the disk is full.
func (d *Disk) Fill() {
	d.t.Helper()
	f, err := os.OpenFile(d.filler, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	require.NoError(d.t, err)
	for size := 1 << 20; size >= 1; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		require.ErrorIs(d.t, err, syscall.ENOSPC)
	}
	require.NoError(d.t, f.Close())
}

// Free removes the file.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.filler); !errors.Is(err, os.ErrNotExist) {
		require.NoError(d.t, err)
	}
}
