package broker

import (
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// takeBytes bounds what one Take brings into memory, in bytes; a single
// message may be larger.
const maxPullBytes = 2 << 20

// Reader is one receiver of a subscription's messages: a stream or a Pull. It
// is used by one goroutine, but for SetDeadline.
type Reader struct {
	s           *Subscription
	consumer    backlog.Consumer
	ready       chan struct{} // holds a token when Take may find something
	ackDeadline time.Duration // of the leases; zero is the subscription's
}

// NewReader begins to read. At most maxMessages and maxBytes are leased to the
// reader at one time; zero is no bound. The caller closes the reader.
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
		ready:    make(chan struct{}, 1),
	}
	s.readers[r] = struct{}{}
	s.b.cache.readers.Add(1)
	r.notify()
	return r, nil
}

// Ready yields when there may be something to take.
func (r *Reader) Ready() <-chan struct{} { return r.ready }

// Ended is closed when the subscription delivers no more; Take tells why.
func (r *Reader) Done() <-chan struct{} { return r.s.done }

func (r *Reader) notify() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// SetDeadline sets how long messages are leased from now on.
func (r *Reader) SetAckDeadline(d time.Duration) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.ackDeadline = d
}

// Take leases up to n messages that wait. If more may follow at once, Ready
// yields again.
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
			r.s.dropDeleted(d.Message) // its retention ended, or a seek passed it, just now
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

// ahead tells what is likely to be delivered after the message.
func (s *Subscription) readAhead(seq uint64, bytes int) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.backlog.ReadAhead(seq, readAheadMessages, bytes)
}

// forget drops a message whose body is gone.
func (s *Subscription) dropDeleted(m *backlog.Message) {
	err := s.applyChange(false, func(_ time.Time, batch *store.Batch) {
		removed, outcome := s.backlog.Remove(m.Seq)
		s.storeAck(batch, removed, outcome)
	})
	s.b.logError("forget a message", err)
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
	deliveries = s.backlog.Lease(now, &r.consumer, d, n, maxPullBytes)
	s.scheduleTimer(now)
	if s.backlog.CanLease(&r.consumer) {
		r.notify()
	}
	return deliveries, s.config.DeadLetterPolicy != nil, nil
}

// Close ends the reader. What was leased to it stays leased until its
// deadline, as acknowledgements may still come.
func (r *Reader) Close() {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r)
	s.b.cache.readers.Add(-1)
	s.backlog.CloseConsumer(&r.consumer)
	s.notifyReaders()
}
