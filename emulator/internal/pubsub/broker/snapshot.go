package broker

import (
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/backlog"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// A snapshot expires seven days after the publishing of its oldest unacknowledged message. One that would expire in
// less than an hour is refused.
const (
	snapshotLifetime    = 7 * 24 * time.Hour
	minSnapshotLifetime = time.Hour
)

// Snapshot contains the messages that a subscription had not acknowledged at one time, and all later messages of its
// topic.
type Snapshot struct {
	topic   *Topic
	nextSeq uint64 // all messages of the topic from this one on belong to the snapshot
	unacked []*backlog.Message
	config  *pubsubpb.Snapshot // guarded by Broker.mu; nil until it is stored
}

// CreateSnapshot takes a snapshot of the subscription.
func (b *Broker) CreateSnapshot(name, subscription string, labels map[string]string) (*pubsubpb.Snapshot, error) {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	if _, err := b.snapshot(name); err == nil {
		return nil, errExists(name)
	}
	s, err := b.Subscription(subscription)
	if err != nil {
		return nil, err
	}
	n, err := s.newSnapshot()
	if err != nil {
		return nil, err
	}
	now := b.now()
	expires := now.Add(snapshotLifetime)
	if len(n.unacked) > 0 {
		expires = n.unacked[0].Published.Add(snapshotLifetime)
	}
	if expires.Sub(now) < minSnapshotLifetime {
		b.discardSnapshot(n)
		return nil, status.Error(codes.FailedPrecondition,
			"The snapshot would expire in less than an hour: the oldest unacknowledged message is too old.")
	}
	config := &pubsubpb.Snapshot{
		Name:       name,
		Topic:      n.topic.name,
		ExpireTime: timestamppb.New(expires),
		Labels:     labels,
	}
	batch := b.store.NewBatch()
	batch.PutSnapshot(n.record(config))
	if err := b.store.Commit(batch); err != nil {
		b.discardSnapshot(n)
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n.config = config
	b.snaps[name] = n
	return config, nil
}

// newSnapshot returns a snapshot of the current state, with a reference to each of its messages.
func (s *Subscription) newSnapshot() (*Snapshot, error) {
	t := s.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endErr != nil {
		return nil, s.endErr
	}
	n := &Snapshot{topic: t, unacked: s.backlog.Snapshot()}
	for _, m := range n.unacked {
		m.RefCount.Add(1)
	}
	// Messages that are not on disk yet are not in the backlog. They belong to the later messages of the topic.
	for _, p := range t.inFlight {
		if !p.inLog {
			p.inLog = true
			for _, m := range p.messages {
				m.RefCount.Add(1)
			}
		}
		if n.nextSeq == 0 {
			n.nextSeq = p.messages[0].Seq
		}
	}
	if n.nextSeq == 0 {
		n.nextSeq = s.b.nextID()
	}
	t.snapshots[n] = struct{}{}
	return n, nil
}

// discardSnapshot releases the messages of a snapshot that is not stored.
func (b *Broker) discardSnapshot(n *Snapshot) {
	batch := b.store.NewBatch()
	n.release(b.now(), batch)
	b.commitNoSync(batch)
}

func (n *Snapshot) release(now time.Time, batch *store.Batch) {
	t := n.topic
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.snapshots, n)
	for _, m := range n.unacked {
		releaseMessage(batch, m)
	}
	t.trimLog(now, batch)
}

func (b *Broker) snapshot(name string) (*Snapshot, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	n := b.snaps[name]
	if n == nil {
		return nil, errNotFound(name)
	}
	return n, nil
}

// Snapshot returns the snapshot with this full name, as the API describes it.
func (b *Broker) Snapshot(name string) (*pubsubpb.Snapshot, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if n := b.snaps[name]; n != nil {
		return n.config, nil
	}
	return nil, errNotFound(name)
}

// ListSnapshots returns the snapshots of a project, "projects/{project}", sorted by name.
func (b *Broker) ListSnapshots(project string) []*pubsubpb.Snapshot {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []*pubsubpb.Snapshot
	for _, name := range namesIn(b.snaps, project) {
		out = append(out, b.snaps[name].config)
	}
	return out
}

// UpdateSnapshot replaces the description by a copy that edit has changed.
func (b *Broker) UpdateSnapshot(name string, edit func(*pubsubpb.Snapshot) error) (*pubsubpb.Snapshot, error) {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	n, err := b.snapshot(name)
	if err != nil {
		return nil, err
	}
	config := proto.CloneOf(n.config)
	if err := edit(config); err != nil {
		return nil, err
	}
	batch := b.store.NewBatch()
	batch.PutSnapshot(n.record(config))
	if err := b.store.Commit(batch); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n.config = config
	return config, nil
}

// DeleteSnapshot deletes a snapshot.
func (b *Broker) DeleteSnapshot(name string) error {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	n, err := b.snapshot(name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.snaps, name)
	b.mu.Unlock()
	batch := b.store.NewBatch()
	batch.DeleteSnapshot(name)
	n.release(b.now(), batch)
	return b.store.Commit(batch)
}

// deleteExpiredSnapshots deletes the snapshots whose expire_time has passed.
func (b *Broker) deleteExpiredSnapshots(now time.Time) {
	b.mu.RLock()
	var expired []string
	for name, n := range b.snaps {
		if !n.config.ExpireTime.AsTime().After(now) {
			expired = append(expired, name)
		}
	}
	b.mu.RUnlock()
	for _, name := range expired {
		b.logError("delete expired snapshot", b.DeleteSnapshot(name))
	}
}

func (n *Snapshot) record(config *pubsubpb.Snapshot) store.Snapshot {
	r := store.Snapshot{Topic: n.topic.id, NextSeq: n.nextSeq, Config: config}
	for _, m := range n.unacked {
		r.Unacked = append(r.Unacked, m.Seq)
	}
	return r
}
