package broker

import "time"

// Clock returns the time and runs timers. It is safe for concurrent use.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in another goroutine after d. It calls f again only after a Reset.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a pending call of AfterFunc. Its methods are those of time.Timer.
type Timer interface {
	Reset(d time.Duration) bool
	Stop() bool
}

// SystemClock is the machine's clock.
type SystemClock struct{}

// Now is time.Now.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (SystemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
