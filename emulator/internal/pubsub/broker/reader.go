package broker

import (
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
	"github.com/airlock-run/airlock/emulator/internal/signal"
)

// maxPullBytes limits the messages that one Pull reads into memory. The last one may exceed it.
const maxPullBytes = 2 << 20

// Reader is one receiver of a subscription's messages: a StreamingPull or a Pull. One goroutine uses it, except that
// SetAckDeadline is safe for concurrent use.
type Reader struct {
	s           *Subscription
	consumer    backlog.Consumer
	ready       signal.Signal // when Pull may return messages
	waiting     bool          // for messages, since Ready
	ackDeadline time.Duration // zero means the subscription's
}

// NewReader returns a reader of the subscription. At most maxMessages and maxBytes are leased to it at the same time;
// zero means no limit. The caller closes the reader.
func (s *Subscription) NewReader(maxMessages, maxBytes int) (*Reader, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr != nil {
		return nil, s.endErr
	}
	s.lastUsed = s.b.now()
	r := &Reader{
		s:        s,
		consumer: backlog.Consumer{MaxOutstandingMessages: maxMessages, MaxOutstandingBytes: maxBytes},
		ready:    signal.New(),
	}
	s.readers[r] = struct{}{}
	s.b.cache.readers.Add(1)
	r.ready.Notify()
	return r, nil
}

// Ready returns a channel that receives a token when Pull may return messages. From now on the reader has a share of
// the messages, until Pull returns some or Pause is called.
func (r *Reader) Ready() <-chan struct{} {
	if !r.waiting {
		r.setWaiting(true)
	}
	return r.ready
}

// Pause lets other readers have the messages until the next call of Ready: the goroutine is busy, perhaps for long.
func (r *Reader) Pause() {
	if r.waiting {
		r.setWaiting(false)
	}
}

func (r *Reader) setWaiting(waiting bool) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.waiting = waiting
	r.s.backlog.SetReady(&r.consumer, waiting)
	if !waiting {
		r.s.notifyReaders()
	} else if r.s.backlog.CanLease(&r.consumer) {
		r.ready.Notify()
	}
}

// Done is closed when the subscription delivers no more messages. Pull then returns the reason.
func (r *Reader) Done() <-chan struct{} { return r.s.done }

// SetAckDeadline sets the duration of later leases.
func (r *Reader) SetAckDeadline(d time.Duration) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.ackDeadline = d
}

// Pull leases up to n waiting messages, the reader's share of them.
func (r *Reader) Pull(n int) ([]*pubsubpb.ReceivedMessage, error) {
	deliveries, attempts, err := r.lease(n)
	if err != nil {
		return nil, err
	}
	seqs := make([]uint64, len(deliveries))
	for i, d := range deliveries {
		seqs[i] = d.Message.Seq
	}
	bodies, err := r.s.b.cache.get(seqs, r.s.readAhead)
	if err != nil {
		return nil, err
	}
	out := make([]*pubsubpb.ReceivedMessage, 0, len(deliveries))
	for i, d := range deliveries {
		body := bodies[i]
		if body == nil {
			r.s.dropDeleted(d.Message) // retention or a seek has removed it in the meantime
			continue
		}
		m := &pubsubpb.ReceivedMessage{
			AckId:   ackID{r.s.id, d.Message.Seq, d.Lease}.String(),
			Message: body,
		}
		if attempts {
			m.DeliveryAttempt = int32(d.Attempt)
		}
		out = append(out, m)
	}
	return out, nil
}

// readAhead returns the messages that are likely to be delivered after the message seq.
func (s *Subscription) readAhead(seq uint64, bytes int) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backlog.ReadAhead(seq, readAheadMessages, bytes)
}

// dropDeleted removes a message whose body was deleted.
func (s *Subscription) dropDeleted(m *backlog.Message) {
	err := s.applyChange(false, func(_ time.Time, batch *store.Batch) {
		removed, outcome := s.backlog.Remove(m.Seq)
		s.storeAck(batch, removed, outcome)
	})
	s.b.logError("drop a deleted message", err)
}

func (r *Reader) lease(n int) (deliveries []backlog.Delivery, attempts bool, err error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr != nil {
		return nil, false, s.endErr
	}
	now := s.b.now()
	s.lastUsed = now
	d := r.ackDeadline
	if d == 0 {
		d = time.Duration(s.config.AckDeadlineSeconds) * time.Second
	}
	deliveries = s.backlog.Lease(now, &r.consumer, backlog.LeaseRequest{Duration: d, MaxMessages: n, MaxBytes: maxPullBytes})
	s.scheduleTimer(now)
	if len(deliveries) > 0 {
		r.waiting = false
		s.notifyReaders()
	}
	return deliveries, s.config.DeadLetterPolicy != nil, nil
}

// Confirm records that the client has received the messages of all calls of Pull so far.
func (r *Reader) Confirm() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.backlog.Confirm(&r.consumer)
}

// Close ends the reader. Messages that the client has not confirmed, by a changed ack deadline, are available at once:
// they may not have arrived. The others stay leased until their deadlines, because acknowledgements may still arrive.
func (r *Reader) Close() {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r)
	s.b.cache.readers.Add(-1)
	s.backlog.CloseConsumer(&r.consumer)
	s.notifyReaders()
}
