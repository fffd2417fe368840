package broker

import "time"

// Clock tells the time and wakes. It is called from several goroutines.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, on a goroutine of its own, after d.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a call to come. Reset sets it anew whether it was made or not.
type Timer interface {
	Reset(d time.Duration) bool
	Stop() bool
}

// SystemClock is the clock of the machine.
type SystemClock struct{}

// Now is the machine's wall and monotonic time.
func (SystemClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (SystemClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
