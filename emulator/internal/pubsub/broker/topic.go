package broker

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/emulator/internal/disk"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// Topic distributes published messages to its subscriptions.
type Topic struct {
	b    *Broker
	id   uint64
	name string

	mu        sync.Mutex
	config    *pubsubpb.Topic // immutable; an update replaces it
	subs      []*Subscription
	snapshots map[*Snapshot]struct{} // they need all messages published after them
	deleted   bool

	// inFlight contains the publish calls whose messages are not on disk yet, in the order in which they get there.
	inFlight []*pendingPublish

	// log contains the messages that the topic's retention or a snapshot needs, oldest first.
	log []*backlog.Message
}

// pendingPublish contains those messages of one Publish that a subscription or the log needs.
type pendingPublish struct {
	messages      []*backlog.Message
	bodies        []*pubsubpb.PubsubMessage // one for each message
	subscriptions [][]*Subscription         // the recipients of each message
	inLog         bool                      // the messages go to Topic.log as well
}

// Config returns the topic as the API describes it. The caller must not change it.
func (t *Topic) Config() *pubsubpb.Topic {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.config
}

// Publish stores the messages and returns their IDs when they are on disk. The broker takes ownership of the messages.
// If it returns an error because the disk is full, the messages may be delivered when there is space.
func (t *Topic) Publish(messages []*pubsubpb.PubsubMessage) ([]string, error) {
	p, batch, err := t.beginPublish(messages)
	if err != nil {
		return nil, err
	}
	if p != nil {
		err = batch.Wait()
		if _, full := errors.AsType[*disk.FullError](err); full {
			go func() {
				err := batch.WaitForSpace()
				t.b.inBackground(func() { t.completePublish(p, err) })
			}()
			return nil, err
		}
		t.completePublish(p, err)
	}
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.MessageId
	}
	return ids, nil
}

// beginPublish numbers the messages and begins to write them. It returns nil if nobody needs them.
func (t *Topic) beginPublish(messages []*pubsubpb.PubsubMessage) (*pendingPublish, *store.Batch, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.deleted {
		return nil, nil, errNotFound(t.name)
	}
	p, batch := t.preparePublish(messages)
	if batch.Empty() {
		batch.Discard()
		return nil, nil, nil
	}
	if err := t.b.store.CommitAsync(batch); err != nil {
		return nil, nil, err
	}
	t.inFlight = append(t.inFlight, p)
	return p, batch, nil
}

// preparePublish numbers the messages and finds the recipients of each. The caller holds t.mu.
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

// completePublish delivers the messages up to p. Those before p are on disk as well, although their callers may not
// run yet. If the write of p failed, it delivers nothing.
func (t *Topic) completePublish(p *pendingPublish, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.inFlight, p)
	if i < 0 {
		return // a later call has delivered the messages
	}
	if err != nil {
		t.inFlight = slices.Delete(t.inFlight, i, i+1)
		return
	}
	for range i + 1 {
		next := t.inFlight[0]
		t.inFlight = slices.Delete(t.inFlight, 0, 1)
		t.b.recovered("deliver messages", func() { t.deliver(next) })
	}
}

// deliver passes the messages to the subscriptions. The caller holds t.mu, so that all subscriptions get messages in
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

// trimLog removes from the log the messages that neither the topic's retention nor a snapshot needs. The caller holds
// t.mu.
func (t *Topic) trimLog(now time.Time, batch *store.Batch) {
	i := 0
	for i < len(t.log) && !t.retains(t.log[i], now) {
		releaseMessage(batch, t.log[i])
		i++
	}
	t.log = slices.Delete(t.log, 0, i)
}

func (t *Topic) retains(m *backlog.Message, now time.Time) bool {
	if !t.deleted && m.Published.Add(t.retention()).After(now) {
		return true
	}
	for n := range t.snapshots {
		if n.nextSeq <= m.Seq {
			return true
		}
	}
	return false
}

// Subscriptions returns the names of the attached subscriptions, sorted.
func (t *Topic) Subscriptions() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for _, s := range t.subs {
		names = append(names, s.name)
	}
	slices.Sort(names)
	return names
}

// Snapshots returns the names of the topic's snapshots, sorted.
func (t *Topic) Snapshots() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.mu.RLock()
	defer t.b.mu.RUnlock()
	var names []string
	for n := range t.snapshots {
		if n.config != nil { // nil: CreateSnapshot has not finished
			names = append(names, n.config.Name)
		}
	}
	slices.Sort(names)
	return names
}

// messageSize returns the size that flow control counts, in bytes.
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
