package backlog

import "time"

// Consumer is one receiver of messages with its flow control. It belongs to
// one backlog from its first Lease on.
type Consumer struct {
	// MaxMessages and MaxBytes bound what is leased to the consumer at one
	// time; zero or less is no bound. The message that crosses MaxBytes is
	// still delivered, or one larger than the bound never would be.
	MaxOutstandingMessages int
	MaxOutstandingBytes    int

	messages int
	bytes    int
	reserved queue // of ordering keys the consumer is at work on
	closed   bool
}

func (c *Consumer) hasCapacity() bool {
	return !c.closed &&
		(c.MaxOutstandingMessages <= 0 || c.messages < c.MaxOutstandingMessages) &&
		(c.MaxOutstandingBytes <= 0 || c.bytes < c.MaxOutstandingBytes)
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
	return c.hasCapacity() && !(c.reserved.empty() && b.redelivery.empty() && b.fresh.empty())
}

// Lease hands out messages until the consumer has no room, maxMessages or
// maxBytes are reached, or nothing waits. Each is the consumer's until it is
// settled or d has passed.
func (b *Backlog) Lease(now time.Time, c *Consumer, d time.Duration, maxMessages, maxBytes int) []Delivery {
	var out []Delivery
	for bytes := 0; len(out) < maxMessages && bytes < maxBytes && c.hasCapacity(); {
		it := b.nextItem(c)
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
func (b *Backlog) nextItem(c *Consumer) *item {
	queues := [...]*queue{&c.reserved, &b.redelivery, &b.fresh}
	for range queues {
		b.roundRobin++
		if q := queues[b.roundRobin%uint(len(queues))]; !q.empty() {
			it := q.head
			it.dequeue()
			return it
		}
	}
	return nil
}

func (b *Backlog) lease(it *item, c *Consumer, deadline time.Time) {
	b.lastLease++
	it.state, it.lease, it.consumer, it.deadline = leased, b.lastLease, c, deadline
	b.timers.set(it)
	c.messages++
	c.bytes += it.msg.Size
	if q := it.keyQueue; q != nil {
		q.leased++
		q.consumer = c
		q.nextUnleased = it.keyNext
		b.enqueueNext(q)
	}
}

// unlease ends a lease. The caller decides what becomes of the item.
func (b *Backlog) endLease(it *item) {
	b.timers.unset(it)
	it.consumer.messages--
	it.consumer.bytes -= it.msg.Size
	it.consumer = nil
	if it.keyQueue != nil {
		it.keyQueue.leaseEnded()
	}
}

// Detach ends a consumer. What is leased to it stays leased; ordering keys it
// was at work on pass to others when those leases have ended.
func (b *Backlog) CloseConsumer(c *Consumer) {
	c.closed = true
	for it := c.reserved.head; it != nil; it = c.reserved.head {
		it.dequeue()
	}
}
