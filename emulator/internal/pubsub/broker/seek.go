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

var errSnapshotGone = status.Error(codes.NotFound, "The snapshot was deleted meanwhile.")

// SeekTime acknowledges what was published before to, and makes all kept
// messages from then on be delivered again.
func (s *Subscription) SeekTime(to time.Time) error {
	unacked := func(m *backlog.Message) bool { return !m.Published.Before(to) }
	return s.seek(nil, unacked)
}

// SeekSnapshot makes the backlog what the snapshot tells.
func (s *Subscription) SeekSnapshot(name string) error {
	n, err := s.b.snapshot(name)
	if err != nil {
		return err
	}
	if n.topic != s.topic {
		return status.Errorf(codes.FailedPrecondition,
			"The subscription and the snapshot are of different topics (resource=%s).", shortName(name))
	}
	then := make(map[uint64]bool, len(n.unacked))
	for _, m := range n.unacked {
		then[m.Seq] = true
	}
	return s.seek(n, func(m *backlog.Message) bool { return m.Seq >= n.next || then[m.Seq] })
}

func (s *Subscription) seek(n *Snapshot, unacked func(*backlog.Message) bool) error {
	kept, err := s.kept(n, unacked)
	if err != nil {
		return err
	}
	done := false
	err = s.change(true, func(now time.Time, batch *store.Batch) {
		done = true
		s.used = now
		joined := make(map[uint64]bool, len(kept))
		for _, m := range kept {
			joined[m.Seq] = !s.queue.Holds(m.Seq)
		}
		r := s.queue.Seek(kept, unacked)
		for _, m := range r.Unacked {
			batch.PutEntry(s.id, entryOf(m))
		}
		for _, m := range r.Retained {
			s.acked(batch, m, backlog.Retained)
		}
		for _, m := range r.Freed {
			s.free(batch, m)
		}
		for _, m := range kept {
			if !joined[m.Seq] {
				release(batch, m)
			}
		}
	})
	if !done {
		s.b.releaseAll(kept)
	}
	return err
}

// kept takes hold of the messages that the topic or the snapshot keep and that
// a seek may bring back. All pass the subscription's filter.
func (s *Subscription) kept(n *Snapshot, unacked func(*backlog.Message) bool) ([]*backlog.Message, error) {
	var out []*backlog.Message
	s.topic.mu.Lock()
	candidates := s.topic.log
	if n != nil {
		if _, ok := s.topic.snapshots[n]; !ok {
			s.topic.mu.Unlock()
			return nil, errSnapshotGone
		}
		candidates = append(n.unacked[:len(n.unacked):len(n.unacked)], candidates...)
	}
	seen := make(map[uint64]bool, len(candidates))
	for _, m := range candidates {
		if unacked(m) && !seen[m.Seq] {
			seen[m.Seq] = true
			m.Holders.Add(1)
			out = append(out, m)
		}
	}
	s.topic.mu.Unlock()
	return s.matching(out)
}

// matching lets go of the messages that do not pass the filter.
func (s *Subscription) matching(held []*backlog.Message) ([]*backlog.Message, error) {
	if s.unfiltered {
		return held, nil
	}
	slices.SortFunc(held, func(x, y *backlog.Message) int { return cmp.Compare(x.Seq, y.Seq) })
	seqs := make([]uint64, len(held))
	for i, m := range held {
		seqs[i] = m.Seq
	}
	passed := make(map[uint64]bool)
	err := s.b.store.Bodies(seqs, func(seq uint64, body *pubsubpb.PubsubMessage) {
		passed[seq] = s.filter.Match(body.Attributes)
	})
	if err != nil {
		s.b.releaseAll(held)
		return nil, err
	}
	var out, dropped []*backlog.Message
	for _, m := range held {
		if passed[m.Seq] {
			out = append(out, m)
		} else {
			dropped = append(dropped, m)
		}
	}
	s.b.releaseAll(dropped)
	return out, nil
}

func (b *Broker) releaseAll(messages []*backlog.Message) {
	batch := b.store.NewBatch()
	for _, m := range messages {
		release(batch, m)
	}
	b.commitLazily(batch)
}
