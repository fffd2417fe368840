// Package disk opens the Pebble stores in which the emulators keep their data.
//
// It receives a folder, the kind of the data and the version of its format, and returns an open store. It writes a
// format record (kind and version) into each new store and checks it in each existing one. It never migrates, repairs
// or deletes data: it refuses a store of another kind or version.
package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// formatKey holds the format record. Keys that begin with a zero byte belong to this package.
var formatKey = []byte("\x00disk.stamp")

// inMemoryDir is the folder of an in-memory store. Each of them has its own file system.
const inMemoryDir = "memory"

// Options describe the store to open.
type Options struct {
	Dir     string          // created if missing; "" opens an empty store in memory, whose data is lost on Close
	Kind    string          // what the store holds, such as "pubsub"
	Version int             // version of the format of the data
	Logger  *zap.Logger     // nil discards everything
	Pebble  *pebble.Options // tuning; nil means Pebble's defaults
}

// Open opens the store and locks its folder. The caller must not use keys that begin with a zero byte, and closes
// the store, which also releases the lock. The error is a *LockedError, *KindError, *VersionError or *CorruptError
// where one of them applies.
func Open(o Options) (*pebble.DB, error) {
	dir, po := o.Dir, pebbleOptions(o)
	if dir == "" {
		dir, po.FS = inMemoryDir, vfs.NewMem()
	}
	if err := po.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	lock, err := pebble.LockDirectory(dir, po.FS)
	if err != nil {
		return nil, lockError(dir, err)
	}
	po.Lock = lock
	db, err := pebble.Open(dir, po)
	// An open store has its own reference to the lock, so closing this one does not unlock the folder.
	if err := errors.Join(openError(dir, err), lock.Close()); err != nil {
		return nil, err
	}
	if err := checkFormat(db, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func pebbleOptions(o Options) *pebble.Options {
	if o.Pebble == nil {
		o.Pebble = &pebble.Options{}
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	po := o.Pebble.Clone()
	po.Logger = pebbleLogger{o.Logger.Sugar()}
	if po.FS == nil {
		po.FS = vfs.Default
	}
	if po.FormatMajorVersion == pebble.FormatDefault {
		po.FormatMajorVersion = pebble.FormatNewest
	}
	return po
}

// pebbleLogger logs Pebble's messages. Pebble reports routine work, such as compactions, at info level; here it is
// debug level.
type pebbleLogger struct{ *zap.SugaredLogger }

func (l pebbleLogger) Infof(format string, args ...any) { l.Debugf(format, args...) }

// lockError tells a folder that another process has locked from a folder that cannot be written.
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

// checkFormat compares the format record with what the caller wants, and writes the record into a new store.
func checkFormat(db *pebble.DB, o Options) error {
	raw, closer, err := db.Get(formatKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return writeFormat(db, o)
	case err != nil:
		return openError(o.Dir, err)
	}
	defer closer.Close()
	n, size := binary.Uvarint(raw)
	if size <= 0 {
		return &CorruptError{Dir: o.Dir, Err: errors.New("the format record is not readable")}
	}
	if got := string(raw[size:]); got != o.Kind {
		return &KindError{Dir: o.Dir, Got: got, Want: o.Kind}
	}
	if int(n) != o.Version {
		return &VersionError{Dir: o.Dir, Got: int(n), Want: o.Version}
	}
	return nil
}

// writeFormat refuses a store that has data but no format record: another program wrote it.
func writeFormat(db *pebble.DB, o Options) error {
	it, err := db.NewIter(nil)
	if err != nil {
		return openError(o.Dir, err)
	}
	notEmpty := it.First()
	if err := it.Close(); err != nil {
		return openError(o.Dir, err)
	}
	if notEmpty {
		return &KindError{Dir: o.Dir, Want: o.Kind}
	}
	value := append(binary.AppendUvarint(nil, uint64(o.Version)), o.Kind...)
	if err := db.Set(formatKey, value, pebble.Sync); err != nil {
		return openError(o.Dir, err)
	}
	return nil
}
