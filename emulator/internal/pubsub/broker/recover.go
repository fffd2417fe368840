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

// recovery puts the broker's state together from the store.
type recovery struct {
	b        *Broker
	topics   map[uint64]*Topic
	messages map[uint64]*backlog.Message // known so far
	wanted   map[uint64][]wish           // by snapshots, of messages not known
}

// wish is the place in a snapshot that a message belongs in.
type wish struct {
	snapshot *Snapshot
	index    int
}

func (b *Broker) recover() error {
	began := time.Now()
	r := &recovery{
		b:        b,
		topics:   make(map[uint64]*Topic),
		messages: make(map[uint64]*backlog.Message),
		wanted:   make(map[uint64][]wish),
	}
	for _, step := range []func() error{
		func() error { return b.store.Topics(r.topic) },
		func() error { return b.store.Subscriptions(r.subscription) },
		func() error { return b.store.Snapshots(r.snapshot) },
		r.bodies,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	b.log.Info("recovered", zap.Int("topics", len(b.topics)), zap.Int("subscriptions", len(b.subs)),
		zap.Int("messages", len(r.messages)), zap.Duration("took", time.Since(began)))
	return nil
}

func (r *recovery) topic(t store.Topic) error {
	topic := &Topic{b: r.b, id: t.ID, name: t.Config.Name, config: t.Config, snapshots: make(map[*Snapshot]struct{})}
	r.topics[t.ID] = topic
	r.b.topics[topic.name] = topic
	return nil
}

// topicByID also finds the topics that were deleted: subscriptions and
// snapshots still belong together by them.
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

func (r *recovery) subscription(rec store.Subscription) error {
	f, err := filter.Parse(rec.Config.Filter)
	if err != nil {
		return fmt.Errorf("subscription %s: filter: %w", rec.Config.Name, err)
	}
	s := newSubscription(r.b, rec.ID, rec.Config, f)
	s.topic = r.topicByID(rec.Topic)
	used, err := r.b.store.Activity(s.id)
	if err != nil {
		return err
	}
	if !used.IsZero() {
		s.used, s.saved = used, used
	}
	r.b.subs[s.name] = s
	if rec.Config.Detached {
		s.end(errDetached(s.name))
		return nil
	}
	s.topic.subs = append(s.topic.subs, s)
	return r.b.store.Entries(s.id, func(e store.Entry) error {
		m := r.messages[e.Seq]
		if m == nil {
			m = &backlog.Message{Seq: e.Seq, Size: e.Size, Key: e.Key, Published: e.Published}
			r.messages[e.Seq] = m
		}
		m.Holders.Add(1)
		if e.Acked {
			s.queue.AddAcked(m)
		} else {
			s.queue.Add(m, e.Failures)
		}
		return nil
	})
}

func (r *recovery) snapshot(rec store.Snapshot) error {
	n := &Snapshot{
		topic:   r.topicByID(rec.Topic),
		next:    rec.Next,
		unacked: make([]*backlog.Message, len(rec.Unacked)),
		config:  rec.Config,
	}
	n.topic.snapshots[n] = struct{}{}
	r.b.snaps[rec.Config.Name] = n
	for i, seq := range rec.Unacked {
		r.wanted[seq] = append(r.wanted[seq], wish{n, i})
	}
	return nil
}

// bodies finds for snapshots and the logs of topics what no subscription
// holds, and deletes what nobody holds.
func (r *recovery) bodies() error {
	batch := r.b.store.NewBatch()
	keepers := r.keepers()
	err := r.b.store.Messages(func(seq uint64, body func() (uint64, *pubsubpb.PubsubMessage, error)) error {
		m := r.messages[seq]
		wishes := r.wanted[seq]
		if keepers || len(wishes) > 0 {
			topic, pb, err := body()
			if err != nil {
				return err
			}
			if m == nil {
				m = messageOf(seq, pb)
			}
			if t := r.topicByID(topic); t.keeps(m, r.b.now()) {
				m.Holders.Add(1)
				t.log = append(t.log, m)
			}
			for _, w := range wishes {
				m.Holders.Add(1)
				w.snapshot.unacked[w.index] = m
			}
		}
		if m == nil || m.Holders.Load() == 0 {
			batch.DeleteMessage(seq)
		}
		delete(r.wanted, seq)
		return nil
	})
	if err != nil {
		batch.Discard()
		return err
	}
	if len(r.wanted) > 0 {
		batch.Discard()
		return fmt.Errorf("%w: %d messages of snapshots are not there", store.ErrCorrupt, len(r.wanted))
	}
	return r.b.store.CommitLazily(batch)
}

// keepers tells whether any topic keeps messages beside its subscriptions.
func (r *recovery) keepers() bool {
	for _, t := range r.topics {
		if t.retention() > 0 || len(t.snapshots) > 0 {
			return true
		}
	}
	return false
}

func messageOf(seq uint64, body *pubsubpb.PubsubMessage) *backlog.Message {
	return &backlog.Message{
		Seq:       seq,
		Size:      messageSize(body),
		Key:       body.OrderingKey,
		Published: body.PublishTime.AsTime(),
	}
}
