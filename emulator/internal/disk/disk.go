// Package disk opens the Pebble stores in which the emulators keep their data.
//
// It receives a folder, the kind of the data and the version of its format, and returns an open store. It writes a
// format record (kind and version) into each new store and checks it in each existing one. It never migrates, repairs
// or deletes data: it refuses a store that is damaged, or of another kind or version.
//
// If the disk gets full, the writes of the store wait until there is space, so that Pebble never fails. DB tells the
// caller, which refuses calls in the meantime.
package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

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
// the store, which also releases the lock. The error is a *LockedError, *KindError, *VersionError, *CorruptError or
// *FullError where one of them applies.
func Open(o Options) (*DB, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	po := pebbleOptions(o)
	if o.Dir == "" {
		po.FS = vfs.NewMem()
		if err := po.FS.MkdirAll(inMemoryDir, 0o700); err != nil {
			return nil, err
		}
		db, err := openPebble(inMemoryDir, po, o)
		if err != nil {
			return nil, err
		}
		return &DB{DB: db}, nil
	}
	if err := po.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, openError(o.Dir, err)
	}
	lock, err := pebble.LockDirectory(o.Dir, po.FS)
	if err != nil {
		return nil, lockError(o.Dir, err)
	}
	po.Lock = lock
	db, err := openFolder(po, o)
	// An open store has its own reference to the lock, so closing this one does not unlock the folder.
	return db, errors.Join(err, lock.Close())
}

// openFolder opens a locked folder. Pebble is opened in a goroutine of its own, because it waits if the disk gets full.
func openFolder(po *pebble.Options, o Options) (*DB, error) {
	s := newSpace(po.FS, o.Dir, o.Logger)
	logBytes, err := sizeOfLogs(o.Dir)
	if err == nil {
		err = s.check(logBytes) // opening copies what is in the logs to tables
	}
	if err != nil {
		return nil, err
	}
	synced, err := openSynced(o.Dir)
	if err != nil {
		return nil, openError(o.Dir, err)
	}
	po.FS = &fileSystem{FS: po.FS, space: s, synced: synced}
	type result struct {
		db  *pebble.DB
		err error
	}
	opened := make(chan result, 1)
	go func() {
		db, err := openPebble(o.Dir, po, o)
		opened <- result{db, err}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, errors.Join(r.err, synced.close())
		}
		return &DB{DB: r.db, space: s, synced: synced}, nil
	case <-s.fullChannel():
		s.fence()
		return nil, &FullError{Dir: o.Dir, Need: reserveBytes + logBytes}
	}
}

// openPebble opens the store, checks it, and converts it to the newest format of Pebble. A store that is refused keeps
// its format.
func openPebble(dir string, po *pebble.Options, o Options) (*pebble.DB, error) {
	found, err := pebble.Peek(dir, po.FS)
	if err != nil {
		return nil, openError(dir, err)
	}
	po.FormatMajorVersion = pebble.FormatNewest
	if found.Exists {
		po.FormatMajorVersion = found.FormatMajorVersion
	}
	db, err := pebble.Open(dir, po)
	if _, ok := errors.AsType[syscall.Errno](err); err != nil && !ok { // the disk works, and the content is wrong
		return nil, &CorruptError{Dir: dir, Err: err}
	}
	if err != nil {
		return nil, openError(dir, err)
	}
	err = checkFormat(db, o)
	if err == nil {
		err = verifyTables(o, db, po)
	}
	if err == nil && db.FormatMajorVersion() < pebble.FormatNewest {
		err = db.RatchetFormatMajorVersion(pebble.FormatNewest)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func sizeOfLogs(dir string) (uint64, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	var total uint64
	for _, path := range logs {
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		total += uint64(info.Size())
	}
	return total, err
}

func pebbleOptions(o Options) *pebble.Options {
	if o.Pebble == nil {
		o.Pebble = &pebble.Options{}
	}
	po := o.Pebble.Clone()
	po.Logger = pebbleLogger{o.Logger.Sugar()}
	if po.FS == nil {
		po.FS = vfs.Default
	}
	// By default, Pebble ends the process. Here the call fails that has read the damaged block.
	po.EventListener = &pebble.EventListener{DataCorruption: func(info pebble.DataCorruptionInfo) {
		o.Logger.Error("the data is damaged", zap.String("path", info.Path), zap.Error(info.Details))
	}}
	return po
}

// pebbleLogger logs Pebble's messages. Pebble reports routine work, such as compactions, at info level; here it is
// debug level.
type pebbleLogger struct{ *zap.SugaredLogger }

func (l pebbleLogger) Infof(format string, args ...any) { l.Debugf(format, args...) }

// lockError tells a folder that another process has locked from a folder that cannot be written.
func lockError(dir string, err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return openError(dir, fmt.Errorf("lock: %w", err))
	}
	return &LockedError{Dir: dir, Err: err}
}

func openError(dir string, err error) error {
	_, corrupt := errors.AsType[*CorruptError](err)
	switch {
	case err == nil, corrupt:
		return err
	case isDiskFull(err):
		return &FullError{Dir: dir, Need: reserveBytes}
	case pebble.IsCorruptionError(err):
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
