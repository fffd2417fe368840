package disk

import (
	"fmt"
	"runtime/debug"

	"github.com/cockroachdb/pebble/v2"
)

// DB is an open store. While the disk is full, its reads work, and its writes wait until there is space.
type DB struct {
	*pebble.DB
	space  *space       // nil in memory
	synced *syncedFiles // nil in memory
}

// CheckSpace returns a *FullError if a write waits for space, or if there is too little space for another one. The
// caller calls it before each write. On a disk with plenty of space, the answer may be 10 ms old.
func (d *DB) CheckSpace() error {
	if d.space == nil {
		return nil
	}
	return d.space.checkWrite()
}

// Full returns a channel that is closed when a write finds no space. When there is space again, Full returns a new
// channel.
func (d *DB) Full() <-chan struct{} {
	if d.space == nil {
		return nil
	}
	return d.space.fullChannel()
}

// WaitingError is the result of a call that stops waiting because Full is closed. Its write may still take place.
func (d *DB) WaitingError() error {
	return &FullError{Dir: d.space.dir, Need: reserveBytes, Waiting: true}
}

// Write calls CheckSpace, and then Run.
func (d *DB) Write(write func() error) error {
	if err := d.CheckSpace(); err != nil {
		return err
	}
	return d.Run(write)
}

// Run calls write, which may wait for space. If the disk gets full, it returns without waiting for write, which goes on
// when there is space. A panic in write is one in the caller.
func (d *DB) Run(write func() error) error {
	if d.space == nil {
		return write()
	}
	done, panicked := make(chan error, 1), make(chan string, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				panicked <- fmt.Sprintf("%v\n%s", r, debug.Stack())
			}
		}()
		done <- write()
	}()
	select {
	case err := <-done:
		return err
	case text := <-panicked:
		panic(text)
	case <-d.Full():
		return d.WaitingError()
	}
}

// Close flushes what is not on disk and unlocks the folder. No other call may be active. If the disk is full, it
// leaves the folder as a crash does, and locked until the process ends.
func (d *DB) Close() error {
	closed := make(chan error, 1)
	go func() { closed <- d.closePebble() }()
	select {
	case err := <-closed:
		return err
	case <-d.Full():
		d.space.fence()
		return d.WaitingError()
	}
}

func (d *DB) closePebble() error {
	if err := d.DB.Close(); err != nil {
		return err
	}
	return d.synced.close()
}
