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
	Ordered     bool // messages of one key are delivered in order
	ExactlyOnce bool // only the current, unexpired lease settles a message
	RetainAcked bool
	MinBackoff  time.Duration
	MaxBackoff  time.Duration
	MaxAttempts int // failed deliveries before a message is dead
}

// Backlog holds the messages of one subscription. Create it with New.
type Backlog struct {
	policy Policy
	items  map[uint64]*item // by sequence number
	chains map[string]*chain

	oldest, youngest *item // in the order of publishing

	fresh    queue // never failed
	returned queue // failed before; apart, so that neither starves the other
	turn     uint  // whose turn it is among the queues

	timers timers
	dead   []*Message // since TakeDead
	failed []*Message // since TakeFailed

	lastLease uint64
	sought    uint64 // the last lease before the last seek
	unacked   int
}

// New returns an empty backlog. Leases are numbered from lease on, so that a
// caller who remembers how far it came never sees a number twice.
func New(p Policy, lease uint64) *Backlog {
	return &Backlog{
		policy:    p,
		items:     make(map[uint64]*item),
		chains:    make(map[string]*chain),
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
	b.admit(it)
}

// AddAcked appends a message that is only kept for a seek.
func (b *Backlog) AddAcked(m *Message) {
	b.insert(m).state = acked
}

// Unacked is how many messages are not acknowledged, delivered or not.
func (b *Backlog) Unacked() int { return b.unacked }

// Held is how many messages the backlog keeps, acknowledged ones included.
func (b *Backlog) Held() int { return len(b.items) }

// Holds tells whether the backlog keeps the message, acknowledged or not.
func (b *Backlog) Holds(seq uint64) bool { return b.items[seq] != nil }

// Messages lists all that the backlog keeps, in the order of publishing.
func (b *Backlog) Messages() []*Message {
	out := make([]*Message, 0, len(b.items))
	for it := b.oldest; it != nil; it = it.younger {
		out = append(out, it.msg)
	}
	return out
}

// Ahead lists what waits and was published after the message seq, which the
// backlog holds: likely what is delivered next. It lists at most maxMessages,
// and maxBytes of them, and does not look far.
func (b *Backlog) Ahead(seq uint64, maxMessages, maxBytes int) []uint64 {
	it := b.items[seq]
	if it == nil {
		return nil
	}
	var out []uint64
	for range 2 * maxMessages {
		if it = it.younger; it == nil || len(out) == maxMessages {
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
func (b *Backlog) Next() (time.Time, bool) {
	if len(b.timers) == 0 {
		return time.Time{}, false
	}
	return b.timers[0].at, true
}

func (b *Backlog) insert(m *Message) *item {
	it := &item{msg: m, timer: -1, older: b.youngest}
	if b.youngest == nil {
		b.oldest = it
	} else {
		b.youngest.younger = it
	}
	b.youngest = it
	b.items[m.Seq] = it
	return it
}

// admit makes the item, which is new to its state, wait for delivery.
func (b *Backlog) admit(it *item) {
	it.state = waiting
	b.unacked++
	if !b.policy.Ordered || it.msg.Key == "" {
		b.queueFor(it).push(it)
		return
	}
	c := b.chains[it.msg.Key]
	if c == nil {
		c = &chain{key: it.msg.Key}
		b.chains[c.key] = c
	}
	c.append(it)
	if c.turn == it {
		b.offer(c)
	}
}

func (b *Backlog) queueFor(it *item) *queue {
	if it.failures > 0 {
		return &b.returned
	}
	return &b.fresh
}

// forget drops the item altogether.
func (b *Backlog) forget(it *item) {
	if it.older == nil {
		b.oldest = it.younger
	} else {
		it.older.younger = it.younger
	}
	if it.younger == nil {
		b.youngest = it.older
	} else {
		it.younger.older = it.older
	}
	delete(b.items, it.msg.Seq)
}
