package backlog

import "time"

// Consumer is one receiver of messages, with its flow control. From the first Lease on it belongs to one backlog.
type Consumer struct {
	// MaxOutstandingMessages and MaxOutstandingBytes limit what is leased to the consumer at the same time; zero or
	// less means no limit. The message that exceeds the limit of bytes is still delivered: otherwise a message
	// larger than the limit would never be.
	MaxOutstandingMessages int
	MaxOutstandingBytes    int

	messages int
	bytes    int
	reserved queue // next messages of the ordering keys that are leased to the consumer
	closed   bool
}

func (c *Consumer) hasCapacity() bool {
	return !c.closed &&
		(c.MaxOutstandingMessages <= 0 || c.messages < c.MaxOutstandingMessages) &&
		(c.MaxOutstandingBytes <= 0 || c.bytes < c.MaxOutstandingBytes)
}

// Outstanding returns the number of messages that are leased to the consumer.
func (c *Consumer) Outstanding() int { return c.messages }

// Delivery is one delivery of a message to a consumer.
type Delivery struct {
	Message *Message
	Lease   uint64
	Attempt int // 1 for the first delivery
}

// CanLease reports whether Lease would deliver a message to the consumer.
func (b *Backlog) CanLease(c *Consumer) bool {
	return c.hasCapacity() && !(c.reserved.empty() && b.redelivery.empty() && b.fresh.empty())
}

// LeaseRequest limits one call of Lease. The message that exceeds MaxBytes is still delivered.
type LeaseRequest struct {
	Duration    time.Duration // of each lease
	MaxMessages int
	MaxBytes    int
}

// Lease delivers messages to the consumer until its flow control or the request allows no more, or no message is
// waiting. Each message is leased until it is acknowledged or negatively acknowledged, or the duration has passed.
func (b *Backlog) Lease(now time.Time, c *Consumer, r LeaseRequest) []Delivery {
	var out []Delivery
	for bytes := 0; len(out) < r.MaxMessages && bytes < r.MaxBytes && c.hasCapacity(); {
		it := b.nextItem(c)
		if it == nil {
			break
		}
		b.lease(it, c, now.Add(r.Duration))
		bytes += it.msg.Size
		out = append(out, Delivery{Message: it.msg, Lease: it.lease, Attempt: int(it.failures) + 1})
	}
	return out
}

// nextItem takes an item from the queues in turn.
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

// endLease ends a lease. The caller sets the next state of the item.
func (b *Backlog) endLease(it *item) {
	b.timers.unset(it)
	it.consumer.messages--
	it.consumer.bytes -= it.msg.Size
	it.consumer = nil
	if it.keyQueue != nil {
		it.keyQueue.leaseEnded()
	}
}

// CloseConsumer stops deliveries to the consumer. Its messages stay leased until their deadlines; another consumer
// gets its ordering keys when these leases have ended.
func (b *Backlog) CloseConsumer(c *Consumer) {
	c.closed = true
	for it := c.reserved.head; it != nil; it = c.reserved.head {
		it.dequeue()
	}
}
