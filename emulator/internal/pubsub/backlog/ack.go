package backlog

import "time"

// Outcome is what became of a message that a consumer settled.
type Outcome uint8

// The outcomes there are.
const (
	Invalid      Outcome = iota // not the consumer's (any more); nothing changed
	AlreadyAcked                // was acknowledged before
	Removed                     // acknowledged, and gone from the backlog
	Retained                    // acknowledged, and kept for a seek
	Extended
	Nacked // to be delivered again, or dead
)

// Ack acknowledges the message that was delivered with the lease. Unless the
// policy is exactly-once, a lease that has ended will do: the work is done. But
// with an ordering key it must be the last one, and not have been taken back
// because an earlier message failed: then the order begins again there.
func (b *Backlog) Ack(now time.Time, seq, lease uint64) (*Message, Outcome) {
	it := b.find(seq, lease)
	if it == nil || it.state == acked {
		if b.policy.ExactlyOnce {
			return nil, Invalid
		}
		return nil, AlreadyAcked
	}
	if b.policy.ExactlyOnce && !b.leaseValid(now, it, lease) {
		return nil, Invalid
	}
	if it.keyQueue != nil && it.lease != lease {
		return nil, Invalid
	}
	return it.msg, b.ack(it)
}

// Extend moves the end of the lease to d from now; zero gives the message
// back (a nack).
func (b *Backlog) ModifyAckDeadline(now time.Time, seq, lease uint64, d time.Duration) Outcome {
	it := b.find(seq, lease)
	if it == nil || !b.leaseValid(now, it, lease) {
		return Invalid
	}
	if d <= 0 {
		b.failDelivery(now, it)
		return Nacked
	}
	it.deadline = now.Add(d)
	b.timers.set(it)
	return Extended
}

// Expire ends the leases and the delays whose time has come.
func (b *Backlog) Expire(now time.Time) {
	for len(b.timers) > 0 && !b.timers[0].deadline.After(now) {
		it := b.timers[0]
		if it.state == leased {
			b.failDelivery(now, it)
			continue
		}
		b.timers.unset(it)
		b.requeue(it)
	}
}

// TakeDead returns the messages that ran out of attempts since the last call.
// They stay in the backlog, undelivered, until Remove or Revive.
func (b *Backlog) TakeExhausted() []*Message {
	d := b.exhausted
	b.exhausted = nil
	return d
}

// TakeFailed returns the messages whose delivery failed since the last call.
// They are only kept track of while attempts are limited.
func (b *Backlog) TakeFailed() []*Message {
	f := b.failed
	b.failed = nil
	return f
}

// Failures is how often the delivery of the message failed.
func (b *Backlog) Failures(seq uint64) int {
	if it := b.items[seq]; it != nil {
		return int(it.failures)
	}
	return 0
}

// Remove acknowledges a message whoever holds it.
func (b *Backlog) Remove(seq uint64) (*Message, Outcome) {
	it := b.items[seq]
	if it == nil || it.state == acked {
		return nil, AlreadyAcked
	}
	return it.msg, b.ack(it)
}

// Revive lets a dead message be delivered once more.
func (b *Backlog) Redeliver(now time.Time, seq uint64) {
	if it := b.items[seq]; it != nil && it.state == exhausted {
		b.scheduleRedelivery(now, it)
	}
}

// DropBefore drops the messages published before t, in whatever state.
func (b *Backlog) DropBefore(t time.Time) []*Message {
	var dropped []*Message
	for it := b.oldest; it != nil && it.msg.Published.Before(t); it = b.oldest {
		if it.state != acked {
			b.stopDelivery(it)
		}
		b.unlink(it)
		dropped = append(dropped, it.msg)
	}
	return dropped
}

func (b *Backlog) find(seq, lease uint64) *item {
	if lease <= b.lastLeaseBeforeSeek || lease > b.lastLease {
		return nil
	}
	return b.items[seq]
}

func (b *Backlog) leaseValid(now time.Time, it *item, lease uint64) bool {
	return it.state == leased && it.lease == lease && now.Before(it.deadline)
}

func (b *Backlog) ack(it *item) Outcome {
	b.stopDelivery(it)
	if b.policy.RetainAcked {
		it.state = acked
		return Retained
	}
	b.unlink(it)
	return Removed
}

// withdraw takes an unacknowledged item out of delivery.
func (b *Backlog) stopDelivery(it *item) {
	b.unacked--
	it.dequeue()
	if it.state == leased {
		b.endLease(it)
	} else {
		b.timers.unset(it)
	}
	q := it.keyQueue
	if q == nil {
		return
	}
	q.remove(it)
	if q.head == nil {
		delete(b.keyQueues, q.key)
		return
	}
	b.enqueueNext(q)
}

// fail counts a failed delivery of a leased item.
func (b *Backlog) failDelivery(now time.Time, it *item) {
	b.endLease(it)
	if it.keyQueue != nil {
		b.revokeLeasesAfter(it.keyQueue, it)
	}
	it.failures++
	if b.policy.MaxDeliveryAttempts > 0 {
		b.failed = append(b.failed, it.msg)
		if int(it.failures) >= b.policy.MaxDeliveryAttempts {
			it.state = exhausted
			b.exhausted = append(b.exhausted, it.msg)
			return
		}
	}
	b.scheduleRedelivery(now, it)
}

func (b *Backlog) scheduleRedelivery(now time.Time, it *item) {
	d := b.backoffDelay(int(it.failures))
	if d == 0 {
		b.requeue(it)
		return
	}
	it.state, it.deadline = delayed, now.Add(d)
	b.timers.set(it)
}

// backoff doubles the delay with every failure.
func (b *Backlog) backoffDelay(failures int) time.Duration {
	d := b.policy.MinBackoff
	for n := 1; n < failures && d < b.policy.MaxBackoff; n++ {
		d *= 2
	}
	return min(d, b.policy.MaxBackoff)
}

func (b *Backlog) requeue(it *item) {
	it.state = waiting
	if it.keyQueue != nil {
		b.enqueueNext(it.keyQueue)
		return
	}
	b.queueFor(it).push(it)
}
