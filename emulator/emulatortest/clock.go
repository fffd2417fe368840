package emulatortest

import (
	"sync/atomic"
	"time"
)

// Clock goes like this machine's, but is ahead of it by what it was advanced.
// It is safe for concurrent use; the zero Clock is right.
type Clock struct{ offset atomic.Int64 }

// Now is for the Options of an emulator.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

// Advance lets d pass at once.
func (c *Clock) Advance(d time.Duration) { c.offset.Add(int64(d)) }
