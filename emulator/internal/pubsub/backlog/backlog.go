// Package backlog is the state of one subscription's messages: which wait,
// which are leased to whom and until when, which back off, and which are kept
// although acknowledged. It does no input or output, starts nothing, and is
// told the time; its caller serializes the calls.
//
// Every step costs at most O(log n) of the leased messages, whatever waits,
// except Seek and Snapshot, which look at all.
package backlog

import "time"

// Policy is how a subscription treats its messages. Times that are zero and a
// MaxAttempts of zero switch the matter off.
type Policy struct {
	Ordered             bool // messages of one key are delivered in order
	ExactlyOnce         bool // only the current, unexpired lease settles a message
	RetainAcked         bool
	MinBackoff          time.Duration
	MaxBackoff          time.Duration
	MaxDeliveryAttempts int // failed deliveries before a message is dead
}

// Backlog holds the messages of one subscription. Create it with New.
type Backlog struct {
	policy    Policy
	items     map[uint64]*item // by sequence number
	keyQueues map[string]*keyQueue

	oldest, newest *item // in the order of publishing

	fresh      queue // never failed
	redelivery queue // failed before; apart, so that neither starves the other
	roundRobin uint  // whose turn it is among the queues

	timers    timers
	exhausted []*Message // since TakeDead
	failed    []*Message // since TakeFailed

	lastLease           uint64
	lastLeaseBeforeSeek uint64 // the last lease before the last seek
	unacked             int
}

// New returns an empty backlog. Leases are numbered from lease on, so that a
// caller who remembers how far it came never sees a number twice.
func New(p Policy, lease uint64) *Backlog {
	return &Backlog{
		policy:    p,
		items:     make(map[uint64]*item),
		keyQueues: make(map[string]*keyQueue),
		lastLease: lease,
	}
}

// SetPolicy changes the policy for what happens from now on. Ordered cannot
// change in the life of a backlog and keeps its first value.
func (b *Backlog) SetPolicy(p Policy) {
	p.Ordered = b.policy.Ordered
	b.policy = p
}

// Add appends a message with failures failed deliveries behind it. The
// sequence number must be above that of all messages in the backlog.
func (b *Backlog) Add(m *Message, failures int) {
	it := b.insert(m)
	it.failures = int32(failures)
	b.enqueue(it)
}

// AddAcked appends a message that is only kept for a seek.
func (b *Backlog) AddAcked(m *Message) {
	b.insert(m).state = acked
}

// Unacked is how many messages are not acknowledged, delivered or not.
func (b *Backlog) Unacked() int { return b.unacked }

// Held is how many messages the backlog keeps, acknowledged ones included.
func (b *Backlog) Len() int { return len(b.items) }

// Holds tells whether the backlog keeps the message, acknowledged or not.
func (b *Backlog) Contains(seq uint64) bool { return b.items[seq] != nil }

// Messages lists all that the backlog keeps, in the order of publishing.
func (b *Backlog) Messages() []*Message {
	out := make([]*Message, 0, len(b.items))
	for it := b.oldest; it != nil; it = it.newer {
		out = append(out, it.msg)
	}
	return out
}

// Ahead lists what waits and was published after the message seq, which the
// backlog holds: likely what is delivered next. It lists at most maxMessages,
// and maxBytes of them, and does not look far.
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

// Next is when Expire has something to do next.
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

// admit makes the item, which is new to its state, wait for delivery.
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

// forget drops the item altogether.
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
