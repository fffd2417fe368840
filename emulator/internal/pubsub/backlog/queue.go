package backlog

// queue is an intrusive first-in, first-out list: the links are part of the items, so that an item leaves from the
// middle in constant time.
type queue struct {
	head, tail *item
	len        int
}

func (q *queue) empty() bool { return q.head == nil }

func (q *queue) push(it *item) {
	it.queue, it.prev, it.next = q, q.tail, nil
	if q.tail == nil {
		q.head = it
	} else {
		q.tail.next = it
	}
	q.tail = it
	q.len++
}

func (q *queue) pushFront(it *item) {
	it.queue, it.prev, it.next = q, nil, q.head
	if q.head == nil {
		q.tail = it
	} else {
		q.head.prev = it
	}
	q.head = it
	q.len++
}

// dequeue removes the item from its queue, if it is in one.
func (it *item) dequeue() {
	q := it.queue
	if q == nil {
		return
	}
	if it.prev == nil {
		q.head = it.next
	} else {
		it.prev.next = it.next
	}
	if it.next == nil {
		q.tail = it.prev
	} else {
		it.next.prev = it.prev
	}
	q.len--
	it.queue, it.prev, it.next = nil, nil, nil
}
