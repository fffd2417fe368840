// Package broadcast wakes goroutines of the same process. A Signal wakes one of them, a Broadcaster wakes all that wait
// for news of an execution.
//
// Nothing in this package blocks the sender, and nothing carries data about what has happened: the receiver reads the
// store. Package queue notifies other processes.
package broadcast

// Signal wakes the goroutine that receives from it. Several calls of Notify before the next receive are one.
type Signal chan struct{}

// NewSignal returns a Signal that has not been notified.
func NewSignal() Signal { return make(Signal, 1) }

// Notify wakes the receiver, or makes its next receive return at once. It never blocks.
func (s Signal) Notify() {
	select {
	case s <- struct{}{}:
	default: // the receiver has not taken the previous notification yet
	}
}
