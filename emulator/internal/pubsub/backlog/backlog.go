// Package backlog is the state machine of one subscription's messages: waiting for delivery, leased to a consumer,
// delayed by a retry policy, out of delivery attempts, or acknowledged and retained.
//
// It receives messages, acknowledgements and the time, and returns deliveries and the messages that are no longer
// needed. It does no input or output, starts no goroutine and does not read the clock. It is not safe for concurrent
// use: the caller serializes the calls.
//
// Each step takes at most O(log n) of the leased messages and does not depend on the number of waiting messages,
// except Seek and Snapshot, which visit all messages.
package backlog

import "time"

// Policy contains the settings of a subscription that affect delivery. A zero back-off means redelivery without
// delay; zero MaxDeliveryAttempts means no limit.
type Policy struct {
	Ordered             bool // messages with the same ordering key are delivered in order
	ExactlyOnce         bool // an acknowledgement needs the current, unexpired lease
	RetainAcked         bool // acknowledged messages stay in the backlog, for a seek
	MinBackoff          time.Duration
	MaxBackoff          time.Duration
	MaxDeliveryAttempts int // failed deliveries after which a message is exhausted
}

// Backlog holds the messages of one subscription. New returns one.
type Backlog struct {
	policy    Policy
	items     map[uint64]*item // by sequence number
	keyQueues map[string]*keyQueue

	oldest, newest *item // ends of the list of all items, in the order of publishing

	fresh      queue // waiting, without a failed delivery
	redelivery queue // waiting, with a failed delivery; a queue of its own, so that neither starves the other
	roundRobin uint  // selects the next queue to deliver from
	ready      []*Consumer

	timers    timers
	exhausted []*Message // since the last TakeExhausted
	failed    []*Message // since the last TakeFailed

	lastLease           uint64
	lastLeaseBeforeSeek uint64 // leases up to this one are invalid
	unacked             int
}

// New returns an empty backlog. The first lease gets the number lastLease+1. A caller that starts above all numbers
// of an earlier process never sees a lease number twice.
func New(p Policy, lastLease uint64) *Backlog {
	return &Backlog{
		policy:    p,
		items:     make(map[uint64]*item),
		keyQueues: make(map[string]*keyQueue),
		lastLease: lastLease,
	}
}

// SetPolicy changes the policy for later calls. Ordered cannot change: the backlog ignores a new value.
func (b *Backlog) SetPolicy(p Policy) {
	p.Ordered = b.policy.Ordered
	b.policy = p
}

// Add appends a message that already has this number of failed deliveries. Its sequence number must be greater than
// those of all messages in the backlog.
func (b *Backlog) Add(m *Message, failures int) {
	it := b.insert(m)
	it.failures = int32(failures)
	b.enqueue(it)
}

// AddAcked appends an acknowledged message, which is retained for a seek.
func (b *Backlog) AddAcked(m *Message) {
	b.insert(m).state = acked
}

// Unacked returns the number of unacknowledged messages, delivered or not.
func (b *Backlog) Unacked() int { return b.unacked }

// Len returns the number of messages in the backlog, including acknowledged ones.
func (b *Backlog) Len() int { return len(b.items) }

// Contains reports whether the message is in the backlog, acknowledged or not.
func (b *Backlog) Contains(seq uint64) bool { return b.items[seq] != nil }

// ReadAhead returns waiting messages that were published after the message seq. They are likely to be delivered
// next. It returns at most maxMessages messages of maxBytes in all, and inspects at most 2*maxMessages.
func (b *Backlog) ReadAhead(seq uint64, maxMessages, maxBytes int) []uint64 {
	it := b.items[seq]
	if it == nil {
		return nil
	}
	var out []uint64
	for range 2 * maxMessages {
		if it = it.newer; it == nil || len(out) == maxMessages {
			break
		}
		if it.state != waiting {
			continue
		}
		if maxBytes -= it.msg.Size; maxBytes < 0 {
			break
		}
		out = append(out, it.msg.Seq)
	}
	return out
}

// NextExpiry returns the next time at which Expire has something to do.
func (b *Backlog) NextExpiry() (time.Time, bool) {
	if len(b.timers) == 0 {
		return time.Time{}, false
	}
	return b.timers[0].deadline, true
}

func (b *Backlog) insert(m *Message) *item {
	it := &item{msg: m, timerIndex: -1, older: b.newest}
	if b.newest == nil {
		b.oldest = it
	} else {
		b.newest.newer = it
	}
	b.newest = it
	b.items[m.Seq] = it
	return it
}

// enqueue makes a new item wait for delivery.
func (b *Backlog) enqueue(it *item) {
	it.state = waiting
	b.unacked++
	if !b.policy.Ordered || it.msg.Key == "" {
		b.queueFor(it).push(it)
		return
	}
	q := b.keyQueues[it.msg.Key]
	if q == nil {
		q = &keyQueue{key: it.msg.Key}
		b.keyQueues[q.key] = q
	}
	q.append(it)
	if q.nextUnleased == it {
		b.enqueueNext(q)
	}
}

func (b *Backlog) queueFor(it *item) *queue {
	if it.failures > 0 {
		return &b.redelivery
	}
	return &b.fresh
}

// unlink removes the item from the backlog.
func (b *Backlog) unlink(it *item) {
	if it.older == nil {
		b.oldest = it.newer
	} else {
		it.older.newer = it.newer
	}
	if it.newer == nil {
		b.newest = it.older
	} else {
		it.newer.older = it.older
	}
	delete(b.items, it.msg.Seq)
}
