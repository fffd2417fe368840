package backlog

import (
	"sync/atomic"
	"time"
)

// Message is the part of a message that a backlog needs: everything but its body. All subscriptions of a topic share
// one Message.
type Message struct {
	// Seq is the position in the order of publishing. It is unique within a server.
	Seq       uint64
	Size      int
	Key       string // the ordering key; "" for none
	Published time.Time

	// RefCount counts the backlogs, snapshots and topics that need the body. It belongs to the caller: a Backlog
	// neither reads nor changes it.
	RefCount atomic.Int32
}

type state uint8

const (
	waiting   state = iota // can be delivered
	leased                 // delivered to a consumer, until item.deadline
	delayed                // not delivered before item.deadline
	exhausted              // out of delivery attempts; the caller calls Remove or Redeliver
	acked                  // retained for a seek
)

// item is one message in one backlog.
type item struct {
	msg        *Message
	state      state
	failures   int32 // nacks and expired leases so far
	lease      uint64
	consumer   *Consumer // of the lease
	deadline   time.Time // end of the lease or of the back-off
	timerIndex int       // index in Backlog.timers; -1 if it is not there

	queue      *queue // the queue that contains it, of waiting or of unconfirmed items; nil for none
	prev, next *item

	keyQueue         *keyQueue // nil without an ordering key
	keyPrev, keyNext *item     // neighbours in the key queue

	older, newer *item // neighbours in the order of publishing
}
