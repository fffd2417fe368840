package backlog

import (
	"sync/atomic"
	"time"
)

// Message is what a backlog knows of a message: everything but its body. One
// Message is shared by every subscription that waits for it.
type Message struct {
	// Seq is the position in the order of publishing, unique in a server.
	Seq       uint64
	Size      int
	Key       string // the ordering key, or ""
	Published time.Time

	// Holders counts who still needs the body. It belongs to the caller; a
	// Backlog never touches it.
	RefCount atomic.Int32
}

type state uint8

const (
	waiting   state = iota // may be delivered when its turn comes
	leased                 // with a consumer, until item.at
	delayed                // backing off, until item.at
	exhausted              // out of delivery attempts, waits for the caller's verdict
	acked                  // kept for a seek only
)

// item is one message in one backlog.
type item struct {
	msg        *Message
	state      state
	failures   int32 // nacks and expired leases so far
	lease      uint64
	consumer   *Consumer // of the lease
	deadline   time.Time // when the lease or the back-off ends
	timerIndex int       // index in Backlog.timers, -1 outside of it

	queue      *queue // the queue of deliverable items it stands in
	prev, next *item

	keyQueue         *keyQueue // nil without an ordering key
	keyPrev, keyNext *item     // neighbours in the chain

	older, newer *item // neighbours in the order of publishing
}
