package backlog

import "time"

// Consumer is one receiver of messages with its flow control. It belongs to
// one backlog from its first Lease on.
type Consumer struct {
	// MaxMessages and MaxBytes bound what is leased to the consumer at one
	// time; zero or less is no bound. The message that crosses MaxBytes is
	// still delivered, or one larger than the bound never would be.
	MaxMessages int
	MaxBytes    int

	messages int
	bytes    int
	reserved queue // of ordering keys the consumer is at work on
	closed   bool
}

func (c *Consumer) room() bool {
	return !c.closed &&
		(c.MaxMessages <= 0 || c.messages < c.MaxMessages) &&
		(c.MaxBytes <= 0 || c.bytes < c.MaxBytes)
}

// Outstanding is how many messages are leased to the consumer.
func (c *Consumer) Outstanding() int { return c.messages }

// Delivery is a message on its way to a consumer.
type Delivery struct {
	Message *Message
	Lease   uint64
	Attempt int // 1 for the first
}

// CanLease tells whether a Lease for the consumer would deliver anything.
func (b *Backlog) CanLease(c *Consumer) bool {
	return c.room() && !(c.reserved.empty() && b.returned.empty() && b.fresh.empty())
}

// Lease hands out messages until the consumer has no room, maxMessages or
// maxBytes are reached, or nothing waits. Each is the consumer's until it is
// settled or d has passed.
func (b *Backlog) Lease(now time.Time, c *Consumer, d time.Duration, maxMessages, maxBytes int) []Delivery {
	var out []Delivery
	for bytes := 0; len(out) < maxMessages && bytes < maxBytes && c.room(); {
		it := b.pick(c)
		if it == nil {
			break
		}
		b.lease(it, c, now.Add(d))
		bytes += it.msg.Size
		out = append(out, Delivery{Message: it.msg, Lease: it.lease, Attempt: int(it.failures) + 1})
	}
	return out
}

// pick takes the queues in turn.
func (b *Backlog) pick(c *Consumer) *item {
	queues := [...]*queue{&c.reserved, &b.returned, &b.fresh}
	for range queues {
		b.turn++
		if q := queues[b.turn%uint(len(queues))]; !q.empty() {
			it := q.head
			it.unqueue()
			return it
		}
	}
	return nil
}

func (b *Backlog) lease(it *item, c *Consumer, until time.Time) {
	b.lastLease++
	it.state, it.lease, it.holder, it.at = leased, b.lastLease, c, until
	b.timers.set(it)
	c.messages++
	c.bytes += it.msg.Size
	if ch := it.chain; ch != nil {
		ch.leased++
		ch.consumer = c
		ch.turn = it.after
		b.offer(ch)
	}
}

// unlease ends a lease. The caller decides what becomes of the item.
func (b *Backlog) unlease(it *item) {
	b.timers.unset(it)
	it.holder.messages--
	it.holder.bytes -= it.msg.Size
	it.holder = nil
	if it.chain != nil {
		it.chain.release()
	}
}

// Detach ends a consumer. What is leased to it stays leased; ordering keys it
// was at work on pass to others when those leases have ended.
func (b *Backlog) Detach(c *Consumer) {
	c.closed = true
	for it := c.reserved.head; it != nil; it = c.reserved.head {
		it.unqueue()
	}
}
