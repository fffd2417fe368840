package disk

import (
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fileSystem is the file system under Pebble. Writes wait for space, and the synced parts of logs and MANIFESTs are
// recorded.
type fileSystem struct {
	vfs.FS
	space  *space
	synced *syncedFiles
}

func (f *fileSystem) Unwrap() vfs.FS { return f.FS }

// open returns the file that open opens, as soon as there is space for it.
func (f *fileSystem) open(name string, open func() (vfs.File, error)) (vfs.File, error) {
	var opened vfs.File
	err := f.space.retry(func() (err error) {
		opened, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return &file{File: opened, space: f.space, synced: f.synced.track(f.PathBase(name))}, nil
}

func (f *fileSystem) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

func (f *fileSystem) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

func (f *fileSystem) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f.synced.forget(f.PathBase(oldname))
	return f.open(newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

func (f *fileSystem) Link(oldname, newname string) error {
	return f.space.retry(func() error { return f.FS.Link(oldname, newname) })
}

func (f *fileSystem) Rename(oldname, newname string) error {
	return f.space.retry(func() error { return f.FS.Rename(oldname, newname) })
}

func (f *fileSystem) MkdirAll(dir string, perm os.FileMode) error {
	return f.space.retry(func() error { return f.FS.MkdirAll(dir, perm) })
}

func (f *fileSystem) Remove(name string) error {
	f.synced.forget(f.PathBase(name))
	return f.space.try(func() error { return f.FS.Remove(name) })
}

// file is a file that is open for writing. As with any vfs.File, one goroutine at a time writes and syncs.
type file struct {
	vfs.File
	space  *space
	synced *syncedFile // nil if its synced part is not recorded
}

// Write waits for space and writes the rest of p then.
func (f *file) Write(p []byte) (n int, err error) {
	err = f.space.retry(func() error {
		m, err := f.File.Write(p[n:])
		f.synced.written(p[n : n+m])
		n += m
		return err
	})
	return n, err
}

func (f *file) WriteAt(p []byte, offset int64) (n int, err error) {
	err = f.space.retry(func() error {
		m, err := f.File.WriteAt(p[n:], offset+int64(n))
		n += m
		return err
	})
	return n, err
}

// Sync does not wait for space: after a failed sync nobody knows what is on disk, and the next one may succeed without
// having written anything.
func (f *file) Sync() error     { return f.sync(f.File.Sync) }
func (f *file) SyncData() error { return f.sync(f.File.SyncData) }

func (f *file) SyncTo(length int64) (fullSync bool, err error) {
	err = f.space.try(func() error {
		fullSync, err = f.File.SyncTo(length)
		return err
	})
	return fullSync, err
}

func (f *file) sync(sync func() error) error {
	if err := f.space.try(sync); err != nil {
		return err
	}
	return f.space.retry(f.synced.record)
}
