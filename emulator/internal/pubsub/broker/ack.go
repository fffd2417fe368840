package broker

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// AckResult is the result for the ack IDs of one call.
type AckResult struct {
	// ExactlyOnce says that the client must be told about invalid ack IDs. Without exactly-once delivery an expired
	// lease is not an error.
	ExactlyOnce bool
	Succeeded   []string
	Invalid     []string
}

// PartiallyFailed reports whether the client must be told about both lists. Google's clients treat all ack IDs that
// an error does not mention as failed, so a client may send the succeeded ones again: that succeeds without effect.
func (r AckResult) PartiallyFailed() bool {
	return r.ExactlyOnce && len(r.Succeeded) > 0 && len(r.Invalid) > 0
}

// Ack acknowledges deliveries. With exactly-once delivery it returns when the acknowledgements are on disk.
func (s *Subscription) Ack(ids []string) (AckResult, error) {
	return s.processAckIDs(ids, func(now time.Time, batch *store.Batch, _ int, id ackID) backlog.Outcome {
		m, outcome := s.backlog.Ack(now, id.seq, id.lease)
		s.storeAck(batch, m, outcome)
		return outcome
	})
}

// ModifyAckDeadline sets the deadline of the delivery ids[i] to d(i) from now. Zero makes the message available for
// redelivery.
func (s *Subscription) ModifyAckDeadline(ids []string, d func(i int) time.Duration) (AckResult, error) {
	return s.processAckIDs(ids, func(now time.Time, _ *store.Batch, i int, id ackID) backlog.Outcome {
		return s.backlog.ModifyAckDeadline(now, id.seq, id.lease, d(i))
	})
}

// storeAck stores the effect of an acknowledgement.
func (s *Subscription) storeAck(batch *store.Batch, m *backlog.Message, outcome backlog.Outcome) {
	switch outcome {
	case backlog.Removed:
		s.deleteMessage(batch, m)
	case backlog.Retained:
		e := newEntry(m)
		e.Acked = true
		batch.PutEntry(s.id, e)
	default: // nothing to store
	}
}

func (s *Subscription) processAckIDs(ids []string, f func(time.Time, *store.Batch, int, ackID) backlog.Outcome) (AckResult, error) {
	parsed := make([]ackID, len(ids))
	for i, id := range ids {
		var ok bool
		if parsed[i], ok = parseAckID(id); !ok {
			return AckResult{}, status.Errorf(codes.InvalidArgument,
				"You have passed an invalid ack ID to the service (ack_id=%s).", id)
		}
	}
	exactlyOnce := s.exactlyOnce()
	result := AckResult{ExactlyOnce: exactlyOnce}
	err := s.applyChange(exactlyOnce, func(now time.Time, batch *store.Batch) {
		s.lastUsed = now
		var processed []ackID // acknowledged, and so invalid from now on
		for i, id := range parsed {
			outcome := backlog.Invalid
			switch {
			case id.sub != s.id:
			case s.processedAckIDs.has(id):
				outcome = backlog.AlreadyAcked
			default:
				outcome = f(now, batch, i, id)
			}
			if outcome == backlog.Invalid {
				result.Invalid = append(result.Invalid, ids[i])
				continue
			}
			result.Succeeded = append(result.Succeeded, ids[i])
			if outcome != backlog.Extended {
				processed = append(processed, id)
			}
		}
		if result.PartiallyFailed() {
			s.processedAckIDs.add(processed)
		}
	})
	return result, err
}

func (s *Subscription) exactlyOnce() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.EnableExactlyOnceDelivery
}
