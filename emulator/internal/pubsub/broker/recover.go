package broker

import (
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/filter"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// recovery rebuilds the state of a broker from its store.
type recovery struct {
	b             *Broker
	topics        map[uint64]*Topic
	messages      map[uint64]*backlog.Message // of all entries read so far
	snapshotSlots map[uint64][]snapshotSlot   // places in snapshots that still need this message
}

// snapshotSlot is the place of a message in a snapshot.
type snapshotSlot struct {
	snapshot *Snapshot
	index    int
}

func (b *Broker) recoverState() error {
	start := time.Now()
	r := &recovery{
		b:             b,
		topics:        make(map[uint64]*Topic),
		messages:      make(map[uint64]*backlog.Message),
		snapshotSlots: make(map[uint64][]snapshotSlot),
	}
	for _, step := range []func() error{
		func() error { return b.store.Topics(r.recoverTopic) },
		func() error { return b.store.Subscriptions(r.recoverSubscription) },
		func() error { return b.store.Snapshots(r.recoverSnapshot) },
		r.recoverMessages,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	b.log.Info("state recovered", zap.Int("topics", len(b.topics)), zap.Int("subscriptions", len(b.subs)),
		zap.Int("messages", len(r.messages)), zap.Duration("took", time.Since(start)))
	return nil
}

func (r *recovery) recoverTopic(t store.Topic) error {
	topic := &Topic{b: r.b, id: t.ID, name: t.Config.Name, config: t.Config, snapshots: make(map[*Snapshot]struct{})}
	r.topics[t.ID] = topic
	r.b.topics[topic.name] = topic
	return nil
}

// topicByID returns a topic, even if it was deleted: subscriptions and snapshots of a deleted topic still belong
// together.
func (r *recovery) topicByID(id uint64) *Topic {
	t := r.topics[id]
	if t == nil {
		t = &Topic{
			b:         r.b,
			id:        id,
			name:      resource.DeletedTopic,
			config:    &pubsubpb.Topic{Name: resource.DeletedTopic},
			snapshots: make(map[*Snapshot]struct{}),
			deleted:   true,
		}
		r.topics[id] = t
	}
	return t
}

func (r *recovery) recoverSubscription(rec store.Subscription) error {
	f, err := filter.Parse(rec.Config.Filter)
	if err != nil {
		return fmt.Errorf("subscription %s: filter: %w", rec.Config.Name, err)
	}
	s := newSubscription(r.b, rec.ID, rec.Config, f)
	s.topic = r.topicByID(rec.Topic)
	used, err := r.b.store.LastUsed(s.id)
	if err != nil {
		return err
	}
	if !used.IsZero() {
		s.lastUsed, s.savedLastUsed = used, used
	}
	r.b.subs[s.name] = s
	if rec.Config.Detached {
		s.endDelivery(errDetached(s.name))
		return nil
	}
	s.topic.subs = append(s.topic.subs, s)
	return r.b.store.Entries(s.id, func(e store.Entry) error {
		m := r.messages[e.Seq]
		if m == nil {
			m = &backlog.Message{Seq: e.Seq, Size: e.Size, Key: e.Key, Published: e.Published}
			r.messages[e.Seq] = m
		}
		m.RefCount.Add(1)
		if e.Acked {
			s.backlog.AddAcked(m)
		} else {
			s.backlog.Add(m, e.Failures)
		}
		return nil
	})
}

func (r *recovery) recoverSnapshot(rec store.Snapshot) error {
	n := &Snapshot{
		topic:   r.topicByID(rec.Topic),
		nextSeq: rec.NextSeq,
		unacked: make([]*backlog.Message, len(rec.Unacked)),
		config:  rec.Config,
	}
	n.topic.snapshots[n] = struct{}{}
	r.b.snaps[rec.Config.Name] = n
	for i, seq := range rec.Unacked {
		r.snapshotSlots[seq] = append(r.snapshotSlots[seq], snapshotSlot{n, i})
	}
	return nil
}

// recoverMessages fills the snapshots and the logs of the topics, and deletes the bodies that nothing refers to.
func (r *recovery) recoverMessages() error {
	batch := r.b.store.NewBatch()
	retainAny := r.anyTopicRetains()
	err := r.b.store.Messages(func(seq uint64, body func() (uint64, *pubsubpb.PubsubMessage, error)) error {
		m := r.messages[seq]
		slots := r.snapshotSlots[seq]
		if retainAny || len(slots) > 0 {
			topic, pb, err := body()
			if err != nil {
				return err
			}
			if m == nil {
				m = newMessage(seq, pb)
			}
			if t := r.topicByID(topic); t.retains(m, r.b.now()) {
				m.RefCount.Add(1)
				t.log = append(t.log, m)
			}
			for _, slot := range slots {
				m.RefCount.Add(1)
				slot.snapshot.unacked[slot.index] = m
			}
		}
		if m == nil || m.RefCount.Load() == 0 {
			batch.DeleteMessage(seq)
		}
		delete(r.snapshotSlots, seq)
		return nil
	})
	if err != nil {
		batch.Discard()
		return err
	}
	if len(r.snapshotSlots) > 0 {
		batch.Discard()
		return fmt.Errorf("%w: %d messages of snapshots are missing", store.ErrCorrupt, len(r.snapshotSlots))
	}
	return r.b.store.CommitNoSync(batch)
}

// anyTopicRetains reports whether any topic has retention or snapshots. If none has, no body needs to be decoded.
func (r *recovery) anyTopicRetains() bool {
	for _, t := range r.topics {
		if t.retention() > 0 || len(t.snapshots) > 0 {
			return true
		}
	}
	return false
}

func newMessage(seq uint64, body *pubsubpb.PubsubMessage) *backlog.Message {
	return &backlog.Message{
		Seq:       seq,
		Size:      messageSize(body),
		Key:       body.OrderingKey,
		Published: body.PublishTime.AsTime(),
	}
}
