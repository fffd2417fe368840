// Package disk opens the stores the emulators keep their data in. A store carries the kind of data it holds and the
// version of its format, so that a folder of another emulator, or of another release, is refused rather than misread.
package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// stampKey begins with a zero byte: keys that begin so belong to this package.
var formatKey = []byte("\x00disk.stamp")

// memoryDir is the folder of a store in memory; each has a file system of its own.
const inMemoryDir = "memory"

// Open opens the store in dir, and makes it if it is not there. An empty dir is a store in memory, gone when closed.
// kind names what the store holds, version the format of it; both are stamped into a new store.
// Keys beginning with a zero byte are reserved. The error is a *LockedError, *KindError, *VersionError or
// *CorruptError where one of them applies. The caller closes the store, which also frees the lock on the folder.
func Open(dir, kind string, version int, o *pebble.Options) (*pebble.DB, error) {
	if o == nil {
		o = &pebble.Options{}
	}
	o = o.Clone()
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = quietLogger{pebble.DefaultLogger}
	}
	if dir == "" {
		dir, o.FS = inMemoryDir, vfs.NewMem()
	}
	if o.FormatMajorVersion == pebble.FormatDefault {
		o.FormatMajorVersion = pebble.FormatNewest
	}

	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, o.FS)
	if err != nil {
		return nil, lockError(dir, err)
	}
	o.Lock = lock
	db, err := pebble.Open(dir, o)
	// An open store holds the lock as well; from here on it is the store's alone.
	if err := errors.Join(openError(dir, err), lock.Close()); err != nil {
		return nil, err
	}
	if err := checkFormat(db, dir, kind, version); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// quiet leaves out what the store says about its daily work; errors still reach standard error.
type quietLogger struct{ pebble.Logger }

func (quietLogger) Infof(string, ...any) {}

// lockError tells a lock that somebody holds from a folder that cannot be written.
func lockError(dir string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	return &LockedError{Dir: dir, Err: err}
}

func openError(dir string, err error) error {
	if err == nil {
		return nil
	}
	if pebble.IsCorruptionError(err) {
		return &CorruptError{Dir: dir, Err: err}
	}
	return fmt.Errorf("open %s: %w", dir, err)
}

// stamp checks the mark of a store, and sets it where the store is new.
func checkFormat(db *pebble.DB, dir, kind string, version int) error {
	raw, closer, err := db.Get(formatKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return writeFormat(db, dir, kind, version)
	case err != nil:
		return openError(dir, err)
	}
	defer closer.Close()
	n, size := binary.Uvarint(raw)
	if size <= 0 {
		return &CorruptError{Dir: dir, Err: errors.New("the stamp is not readable")}
	}
	if got := string(raw[size:]); got != kind {
		return &KindError{Dir: dir, Got: got, Want: kind}
	}
	if int(n) != version {
		return &VersionError{Dir: dir, Got: int(n), Want: version}
	}
	return nil
}

// mark refuses a store that has data but no stamp: something else wrote it.
func writeFormat(db *pebble.DB, dir, kind string, version int) error {
	it, err := db.NewIter(nil)
	if err != nil {
		return openError(dir, err)
	}
	notEmpty := it.First()
	if err := it.Close(); err != nil {
		return openError(dir, err)
	}
	if notEmpty {
		return &KindError{Dir: dir, Want: kind}
	}
	value := append(binary.AppendUvarint(nil, uint64(version)), kind...)
	if err := db.Set(formatKey, value, pebble.Sync); err != nil {
		return openError(dir, err)
	}
	return nil
}
