package broker

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// Topic fans what is published out to its subscriptions.
type Topic struct {
	b    *Broker
	id   uint64
	name string

	mu        sync.Mutex
	config    *pubsubpb.Topic // replaced, never changed
	subs      []*Subscription
	snapshots map[*Snapshot]struct{} // that need what is published
	deleted   bool

	// inflight are the publications on their way to the disk, in the order
	// in which they get there.
	inFlight []*pendingPublish

	// log holds the messages kept for the sake of the topic's retention or of
	// snapshots, the oldest first.
	log []*backlog.Message
}

// publication is the messages of one Publish that somebody wants.
type pendingPublish struct {
	messages      []*backlog.Message
	bodies        []*pubsubpb.PubsubMessage // of each message
	subscriptions [][]*Subscription         // of each message
	inLog         bool                      // the topic keeps them as well
	failed        bool                      // they did not get to the disk
}

// Config is the topic as its users see it.
func (t *Topic) Config() *pubsubpb.Topic {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.config
}

// Publish stores the messages and returns their IDs when they are on disk.
// The messages become the broker's.
func (t *Topic) Publish(messages []*pubsubpb.PubsubMessage) ([]string, error) {
	t.mu.Lock()
	if t.deleted {
		t.mu.Unlock()
		return nil, errNotFound(t.name)
	}
	p, batch := t.preparePublish(messages)
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.MessageId
	}
	if batch.Empty() {
		t.mu.Unlock()
		batch.Discard()
		return ids, nil
	}
	if err := t.b.store.CommitAsync(batch); err != nil {
		t.mu.Unlock()
		return nil, err
	}
	t.inFlight = append(t.inFlight, p)
	t.mu.Unlock()

	err := batch.Wait()
	t.completePublish(p, err)
	if err != nil {
		return nil, err
	}
	return ids, nil
}

// prepare numbers the messages and decides who gets them.
func (t *Topic) preparePublish(messages []*pubsubpb.PubsubMessage) (*pendingPublish, *store.Batch) {
	now := t.b.now().Truncate(time.Microsecond)
	batch := t.b.store.NewBatch()
	p := &pendingPublish{inLog: len(t.snapshots) > 0 || t.retention() > 0}
	for _, body := range messages {
		seq := t.b.nextID()
		body.MessageId = strconv.FormatUint(seq, 10)
		body.PublishTime = timestamppb.New(now)
		var targets []*Subscription
		for _, s := range t.subs {
			if s.filter.Match(body.Attributes) {
				targets = append(targets, s)
			}
		}
		refs := len(targets)
		if p.inLog {
			refs++
		}
		if refs == 0 {
			continue
		}
		m := &backlog.Message{Seq: seq, Size: messageSize(body), Key: body.OrderingKey, Published: now}
		m.RefCount.Store(int32(refs))
		batch.PutMessage(seq, t.id, body)
		for _, s := range targets {
			batch.PutEntry(s.id, newEntry(m))
		}
		p.messages = append(p.messages, m)
		p.bodies = append(p.bodies, body)
		p.subscriptions = append(p.subscriptions, targets)
	}
	return p, batch
}

// landed hands out the publications up to p. Those before p are on disk as
// well, although their callers may not have woken yet.
func (t *Topic) completePublish(p *pendingPublish, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.failed = err != nil
	n := slices.Index(t.inFlight, p) + 1
	for _, p := range t.inFlight[:n] {
		if !p.failed {
			t.deliver(p)
		}
	}
	t.inFlight = slices.Delete(t.inFlight, 0, n)
}

// deliver is called with t.mu held, so that all subscriptions get messages in
// the order of publishing.
func (t *Topic) deliver(p *pendingPublish) {
	if p.inLog {
		t.log = append(t.log, p.messages...)
	}
	bySub := make(map[*Subscription][]*backlog.Message)
	for i, m := range p.messages {
		if len(p.subscriptions[i]) > 0 {
			t.b.cache.put(m.Seq, p.bodies[i])
		}
		for _, s := range p.subscriptions[i] {
			bySub[s] = append(bySub[s], m)
		}
	}
	for s, messages := range bySub {
		s.addMessages(messages)
	}
}

func (t *Topic) retention() time.Duration {
	return t.config.GetMessageRetentionDuration().AsDuration()
}

func (t *Topic) record() store.Topic { return store.Topic{ID: t.id, Config: t.config} }

// messageSize is what flow control counts.
func messageSize(m *pubsubpb.PubsubMessage) int {
	n := len(m.Data) + len(m.OrderingKey)
	for k, v := range m.Attributes {
		n += len(k) + len(v)
	}
	return n
}

func newEntry(m *backlog.Message) store.Entry {
	return store.Entry{Seq: m.Seq, Size: m.Size, Key: m.Key, Published: m.Published}
}
