package backlog

import (
	"slices"
	"time"
)

// Consumer is one receiver of messages, with its flow control. From the first Lease on it belongs to one backlog.
type Consumer struct {
	// MaxOutstandingMessages and MaxOutstandingBytes limit what is leased to the consumer at the same time; zero or
	// less means no limit. The message that exceeds the limit of bytes is still delivered: otherwise a message
	// larger than the limit would never be.
	MaxOutstandingMessages int
	MaxOutstandingBytes    int

	messages    int
	bytes       int
	reserved    queue // next messages of the ordering keys that are leased to the consumer
	unconfirmed queue // leased, and not known to have reached the consumer
	closed      bool
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

// SetReady says whether the consumer can receive messages now. Ready consumers share the waiting messages: each message
// goes to the one with the fewest. Lease makes a consumer that gets messages unready, because it is busy with them.
func (b *Backlog) SetReady(c *Consumer, ready bool) {
	i := slices.Index(b.ready, c)
	switch {
	case ready && i < 0 && !c.closed:
		b.ready = append(b.ready, c)
	case !ready && i >= 0:
		b.ready = slices.Delete(b.ready, i, i+1)
	}
}

// CanLease reports whether Lease would deliver a message to the consumer.
func (b *Backlog) CanLease(c *Consumer) bool {
	return c.hasCapacity() && (!c.reserved.empty() || b.hasShare(c))
}

// hasShare reports whether the consumer may take one of the messages that wait for any consumer. It may not if the
// other ready consumers need all of them to have as many messages as this one. A consumer with the fewest messages
// always may, so no message waits while a consumer is ready for it.
func (b *Backlog) hasShare(c *Consumer) bool {
	n := b.redelivery.len + b.fresh.len
	for _, other := range b.ready {
		if n <= 0 {
			return false
		}
		if other != c && other.hasCapacity() {
			n -= max(0, other.limit(c.messages)-other.messages)
		}
	}
	return n > 0
}

// limit returns n, or the limit of messages if that is less.
func (c *Consumer) limit(n int) int {
	if c.MaxOutstandingMessages > 0 {
		return min(n, c.MaxOutstandingMessages)
	}
	return n
}

// LeaseRequest limits one call of Lease. The message that exceeds MaxBytes is still delivered.
type LeaseRequest struct {
	Duration    time.Duration // of each lease
	MaxMessages int
	MaxBytes    int
}

// Lease delivers messages to the consumer until its flow control, its share or the request allows no more, or no
// message is waiting. Each message is leased until it is acknowledged or negatively acknowledged, or the duration has
// passed.
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
	if len(out) > 0 {
		b.SetReady(c, false)
	}
	return out
}

// nextItem takes an item from the queues in turn.
func (b *Backlog) nextItem(c *Consumer) *item {
	queues := [...]*queue{&c.reserved, &b.redelivery, &b.fresh}
	shared := b.hasShare(c)
	for range queues {
		b.roundRobin++
		if q := queues[b.roundRobin%uint(len(queues))]; !q.empty() && (shared || q == &c.reserved) {
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
	c.unconfirmed.push(it)
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
	it.dequeue()
	it.consumer.messages--
	it.consumer.bytes -= it.msg.Size
	it.consumer = nil
	if it.keyQueue != nil {
		it.keyQueue.leaseEnded()
	}
}

// Confirm records that the consumer has received all messages that are leased to it.
func (b *Backlog) Confirm(c *Consumer) {
	for it := c.unconfirmed.head; it != nil; it = c.unconfirmed.head {
		it.dequeue()
	}
}

// CloseConsumer stops deliveries to the consumer. The messages that it has not confirmed, by Confirm or
// ModifyAckDeadline, are available at once; that is no failed delivery. The others stay leased until their deadlines;
// another consumer gets their ordering keys when these leases have ended.
func (b *Backlog) CloseConsumer(c *Consumer) {
	c.closed = true
	b.SetReady(c, false)
	for it := c.reserved.head; it != nil; it = c.reserved.head {
		it.dequeue()
	}
	for it := c.unconfirmed.tail; it != nil; it = c.unconfirmed.tail {
		b.undoDelivery(it)
	}
}

// undoDelivery ends a lease as if the message had not been delivered. The message is the next one of its queue.
func (b *Backlog) undoDelivery(it *item) {
	b.endLease(it)
	it.state = waiting
	if q := it.keyQueue; q != nil {
		b.revokeLeasesAfter(q, it)
		b.enqueueNext(q)
		return
	}
	b.queueFor(it).pushFront(it)
}
