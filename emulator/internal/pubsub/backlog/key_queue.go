package backlog

// keyQueue contains the unacknowledged messages of one ordering key, in the order of publishing. The leased messages
// come first, and all of them are leased to the same consumer. Only the first unleased message can be delivered.
type keyQueue struct {
	key          string
	head, tail   *item
	nextUnleased *item // the first unleased item; nil if all are leased
	leased       int
	consumer     *Consumer // of the leased items; nil if there are none
}

func (q *keyQueue) append(it *item) {
	it.keyQueue, it.keyPrev, it.keyNext = q, q.tail, nil
	if q.tail == nil {
		q.head = it
	} else {
		q.tail.keyNext = it
	}
	q.tail = it
	if q.nextUnleased == nil {
		q.nextUnleased = it
	}
}

func (q *keyQueue) remove(it *item) {
	if q.nextUnleased == it {
		q.nextUnleased = it.keyNext
	}
	if it.keyPrev == nil {
		q.head = it.keyNext
	} else {
		it.keyPrev.keyNext = it.keyNext
	}
	if it.keyNext == nil {
		q.tail = it.keyPrev
	} else {
		it.keyNext.keyPrev = it.keyPrev
	}
	it.keyQueue, it.keyPrev, it.keyNext = nil, nil, nil
}

// leaseEnded counts the end of one lease.
func (q *keyQueue) leaseEnded() {
	q.leased--
	if q.leased == 0 {
		q.consumer = nil
	}
}

// enqueueNext makes the next message of the key available: to all consumers if no message of the key is leased, else
// only to the consumer of those leases.
func (b *Backlog) enqueueNext(q *keyQueue) {
	it := q.nextUnleased
	if it == nil || it.state != waiting {
		return
	}
	it.dequeue()
	switch {
	case q.leased == 0:
		b.queueFor(it).push(it)
	case !q.consumer.closed:
		q.consumer.reserved.push(it)
	}
}

// revokeLeasesAfter ends the leases of all messages of the key that follow a failed message: they are delivered
// again after it.
func (b *Backlog) revokeLeasesAfter(q *keyQueue, it *item) {
	if q.nextUnleased != nil {
		q.nextUnleased.dequeue()
	}
	for later := it.keyNext; later != q.nextUnleased; later = later.keyNext {
		b.endLease(later)
		later.state, later.lease = waiting, 0
	}
	q.nextUnleased = it
}
