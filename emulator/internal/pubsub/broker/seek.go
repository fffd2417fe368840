package broker

import (
	"cmp"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

var errSnapshotDeleted = status.Error(codes.NotFound, "The snapshot was deleted during the seek.")

// SeekTime acknowledges the messages published before a time, and makes all retained later messages available for
// delivery again.
func (s *Subscription) SeekTime(to time.Time) error {
	unacked := func(m *backlog.Message) bool { return !m.Published.Before(to) }
	return s.seek(nil, unacked)
}

// SeekSnapshot restores the acknowledgement state of the snapshot.
func (s *Subscription) SeekSnapshot(name string) error {
	n, err := s.b.snapshot(name)
	if err != nil {
		return err
	}
	if n.topic != s.topic {
		return status.Errorf(codes.FailedPrecondition,
			"The subscription and the snapshot are of different topics (resource=%s).", shortName(name))
	}
	unacked := make(map[uint64]bool, len(n.unacked))
	for _, m := range n.unacked {
		unacked[m.Seq] = true
	}
	return s.seek(n, func(m *backlog.Message) bool { return m.Seq >= n.nextSeq || unacked[m.Seq] })
}

func (s *Subscription) seek(n *Snapshot, unacked func(*backlog.Message) bool) error {
	retained, err := s.retainedMessages(n, unacked)
	if err != nil {
		return err
	}
	applied := false
	err = s.applyChange(true, func(now time.Time, batch *store.Batch) {
		applied = true
		s.lastUsed = now
		added := make(map[uint64]bool, len(retained))
		for _, m := range retained {
			added[m.Seq] = !s.backlog.Contains(m.Seq)
		}
		r := s.backlog.Seek(retained, unacked)
		for _, m := range r.Unacked {
			batch.PutEntry(s.id, newEntry(m))
		}
		for _, m := range r.Retained {
			s.storeAck(batch, m, backlog.Retained)
		}
		for _, m := range r.Removed {
			s.deleteMessage(batch, m)
		}
		for _, m := range retained {
			if !added[m.Seq] {
				releaseMessage(batch, m)
			}
		}
	})
	if !applied {
		s.b.releaseMessages(retained)
	}
	return err
}

// retainedMessages returns the messages of the topic's log and of the snapshot that the seek makes unacknowledged,
// with a reference to each. All match the subscription's filter.
func (s *Subscription) retainedMessages(n *Snapshot, unacked func(*backlog.Message) bool) ([]*backlog.Message, error) {
	out, err := s.unfilteredMessages(n, unacked)
	if err != nil {
		return nil, err
	}
	return s.filterMessages(out)
}

func (s *Subscription) unfilteredMessages(n *Snapshot, unacked func(*backlog.Message) bool) ([]*backlog.Message, error) {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	candidates := s.topic.log
	if n != nil {
		if _, ok := s.topic.snapshots[n]; !ok {
			return nil, errSnapshotDeleted
		}
		candidates = append(n.unacked[:len(n.unacked):len(n.unacked)], candidates...)
	}
	var out []*backlog.Message
	seen := make(map[uint64]bool, len(candidates))
	for _, m := range candidates {
		if unacked(m) && !seen[m.Seq] {
			seen[m.Seq] = true
			m.RefCount.Add(1)
			out = append(out, m)
		}
	}
	return out, nil
}

// filterMessages releases the messages that do not match the filter and returns the others.
func (s *Subscription) filterMessages(candidates []*backlog.Message) ([]*backlog.Message, error) {
	if s.unfiltered {
		return candidates, nil
	}
	slices.SortFunc(candidates, func(x, y *backlog.Message) int { return cmp.Compare(x.Seq, y.Seq) })
	seqs := make([]uint64, len(candidates))
	for i, m := range candidates {
		seqs[i] = m.Seq
	}
	matched := make(map[uint64]bool)
	err := s.b.store.MessagesBySeq(seqs, func(seq uint64, body *pubsubpb.PubsubMessage) {
		matched[seq] = s.filter.Match(body.Attributes)
	})
	if err != nil {
		s.b.releaseMessages(candidates)
		return nil, err
	}
	var out, dropped []*backlog.Message
	for _, m := range candidates {
		if matched[m.Seq] {
			out = append(out, m)
		} else {
			dropped = append(dropped, m)
		}
	}
	s.b.releaseMessages(dropped)
	return out, nil
}
