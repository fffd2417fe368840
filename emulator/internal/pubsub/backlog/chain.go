package backlog

// chain holds the unacknowledged messages of one ordering key in the order of
// publishing: first those that are leased, all to one consumer, then those
// that are not. Only the first that is not leased can be delivered.
type chain struct {
	key        string
	head, tail *item
	turn       *item // the first that is not leased, nil if all are
	leased     int
	consumer   *Consumer // of the leased ones, nil if there are none
}

func (c *chain) append(it *item) {
	it.chain, it.before, it.after = c, c.tail, nil
	if c.tail == nil {
		c.head = it
	} else {
		c.tail.after = it
	}
	c.tail = it
	if c.turn == nil {
		c.turn = it
	}
}

func (c *chain) remove(it *item) {
	if c.turn == it {
		c.turn = it.after
	}
	if it.before == nil {
		c.head = it.after
	} else {
		it.before.after = it.after
	}
	if it.after == nil {
		c.tail = it.before
	} else {
		it.after.before = it.before
	}
	it.chain, it.before, it.after = nil, nil, nil
}

// release counts a lease of the chain as ended.
func (c *chain) release() {
	c.leased--
	if c.leased == 0 {
		c.consumer = nil
	}
}

// offer puts the chain's next message where those who may take it look: all
// consumers if none is at work on the key, else only the one that is.
func (b *Backlog) offer(c *chain) {
	it := c.turn
	if it == nil || it.state != waiting {
		return
	}
	it.unqueue()
	switch {
	case c.leased == 0:
		b.queueFor(it).push(it)
	case !c.consumer.closed:
		c.consumer.reserved.push(it)
	}
}

// rewind takes back every lease of the chain after it, because what follows a
// message that failed is delivered again after that message.
func (b *Backlog) rewind(c *chain, it *item) {
	if c.turn != nil {
		c.turn.unqueue()
	}
	for later := it.after; later != c.turn; later = later.after {
		b.unlease(later)
		later.state, later.lease = waiting, 0
	}
	c.turn = it
}
