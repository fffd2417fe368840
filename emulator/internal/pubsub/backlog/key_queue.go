package backlog

// chain holds the unacknowledged messages of one ordering key in the order of
// publishing: first those that are leased, all to one consumer, then those
// that are not. Only the first that is not leased can be delivered.
type keyQueue struct {
	key          string
	head, tail   *item
	nextUnleased *item // the first that is not leased, nil if all are
	leased       int
	consumer     *Consumer // of the leased ones, nil if there are none
}

func (c *keyQueue) append(it *item) {
	it.keyQueue, it.keyPrev, it.keyNext = c, c.tail, nil
	if c.tail == nil {
		c.head = it
	} else {
		c.tail.keyNext = it
	}
	c.tail = it
	if c.nextUnleased == nil {
		c.nextUnleased = it
	}
}

func (c *keyQueue) remove(it *item) {
	if c.nextUnleased == it {
		c.nextUnleased = it.keyNext
	}
	if it.keyPrev == nil {
		c.head = it.keyNext
	} else {
		it.keyPrev.keyNext = it.keyNext
	}
	if it.keyNext == nil {
		c.tail = it.keyPrev
	} else {
		it.keyNext.keyPrev = it.keyPrev
	}
	it.keyQueue, it.keyPrev, it.keyNext = nil, nil, nil
}

// release counts a lease of the chain as ended.
func (c *keyQueue) leaseEnded() {
	c.leased--
	if c.leased == 0 {
		c.consumer = nil
	}
}

// offer puts the chain's next message where those who may take it look: all
// consumers if none is at work on the key, else only the one that is.
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

// rewind takes back every lease of the chain after it, because what follows a
// message that failed is delivered again after that message.
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
