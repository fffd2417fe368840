package backlog

import "time"

// Outcome is the effect of an acknowledgement or of a changed deadline.
type Outcome uint8

// The outcomes.
const (
	Invalid      Outcome = iota // the lease is not valid; nothing changed
	AlreadyAcked                // acknowledged before; nothing changed
	Removed                     // acknowledged and removed from the backlog
	Retained                    // acknowledged and retained for a seek
	Extended                    // the lease has a new deadline
	Nacked                      // negatively acknowledged: delivered again, or exhausted
)

// Ack acknowledges the message that was delivered with the lease. Without exactly-once delivery an expired lease is
// good enough, because the work is done. With an ordering key, however, it must be the newest lease of the message,
// and not revoked because an earlier message failed: then the messages are delivered again from there.
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

// ModifyAckDeadline sets the end of the lease to d from now, and so confirms that the consumer has the message. Zero is
// a negative acknowledgement.
func (b *Backlog) ModifyAckDeadline(now time.Time, seq, lease uint64, d time.Duration) Outcome {
	it := b.find(seq, lease)
	if it == nil || !b.leaseValid(now, it, lease) {
		return Invalid
	}
	if d <= 0 {
		b.failDelivery(now, it)
		return Nacked
	}
	it.dequeue() // confirmed
	it.deadline = now.Add(d)
	b.timers.set(it)
	return Extended
}

// Expire ends the leases and back-offs whose deadline is now or earlier.
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

// TakeExhausted returns the messages that ran out of delivery attempts since the last call. They stay in the backlog
// and are not delivered until the caller calls Remove or Redeliver.
func (b *Backlog) TakeExhausted() []*Message {
	d := b.exhausted
	b.exhausted = nil
	return d
}

// TakeFailed returns the messages whose delivery failed since the last call. It returns none while the policy has no
// MaxDeliveryAttempts.
func (b *Backlog) TakeFailed() []*Message {
	f := b.failed
	b.failed = nil
	return f
}

// Failures returns the number of failed deliveries of the message.
func (b *Backlog) Failures(seq uint64) int {
	if it := b.items[seq]; it != nil {
		return int(it.failures)
	}
	return 0
}

// Remove acknowledges a message, leased or not.
func (b *Backlog) Remove(seq uint64) (*Message, Outcome) {
	it := b.items[seq]
	if it == nil || it.state == acked {
		return nil, AlreadyAcked
	}
	return it.msg, b.ack(it)
}

// Redeliver makes an exhausted message wait for delivery again.
func (b *Backlog) Redeliver(now time.Time, seq uint64) {
	if it := b.items[seq]; it != nil && it.state == exhausted {
		b.scheduleRedelivery(now, it)
	}
}

// DropBefore removes all messages that were published before t, in any state.
func (b *Backlog) DropBefore(t time.Time) []*Message {
	return b.dropWhile(func(m *Message) bool { return m.Published.Before(t) })
}

// DropAll removes all messages, in any state. All leases end, so the consumers can be closed as before.
func (b *Backlog) DropAll() []*Message {
	return b.dropWhile(func(*Message) bool { return true })
}

func (b *Backlog) dropWhile(condition func(*Message) bool) []*Message {
	var dropped []*Message
	for it := b.oldest; it != nil && condition(it.msg); it = b.oldest {
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

// stopDelivery removes an unacknowledged item from the queues and timers.
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

// failDelivery counts a failed delivery of a leased item.
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

// backoffDelay doubles the delay with every failure, up to the maximum.
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
