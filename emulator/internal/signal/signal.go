// Package signal wakes a goroutine of the same process.
//
// In: calls of Notify, from any goroutine. Out: one token for the goroutine that receives. It never blocks the sender,
// and never carries data.
package signal

// Signal contains a token when its receiver has something to do. Several calls of Notify before the next receive are
// one.
type Signal chan struct{}

// New returns a Signal without a token.
func New() Signal { return make(Signal, 1) }

// Notify puts in the token, unless it is there. It never blocks.
func (s Signal) Notify() {
	select {
	case s <- struct{}{}:
	default:
	}
}
