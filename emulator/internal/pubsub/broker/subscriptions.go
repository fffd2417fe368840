package broker

import (
	"slices"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/filter"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// Subscription returns the subscription with this full name.
func (b *Broker) Subscription(name string) (*Subscription, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	s := b.subs[name]
	if s == nil {
		return nil, errNotFound(name)
	}
	return s, nil
}

// CreateSubscription creates a subscription. The broker takes ownership of config.
func (b *Broker) CreateSubscription(config *pubsubpb.Subscription) (*Subscription, error) {
	f, err := filter.Parse(config.Filter)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "Invalid filter: %v.", err)
	}
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	if _, err := b.Subscription(config.Name); err == nil {
		return nil, errExists(config.Name)
	}
	t, err := b.Topic(config.Topic)
	if err != nil {
		return nil, err
	}
	if err := b.checkDeadLetter(config); err != nil {
		return nil, err
	}
	s := newSubscription(b, b.nextID(), config, f)
	s.topic = t

	batch := b.store.NewBatch()
	batch.PutSubscription(s.record())
	// The lock makes this record reach the disk before the entries of later messages: after a crash there are no
	// entries without a subscription.
	withLock(&t.mu, func() {
		if err = b.store.CommitAsync(batch); err == nil {
			t.subs = append(t.subs, s)
		}
	})
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.subs[s.name] = s
	b.mu.Unlock()
	return s, batch.Wait()
}

// UpdateSubscription replaces the configuration by a copy that edit has changed.
func (b *Broker) UpdateSubscription(name string, edit func(*pubsubpb.Subscription) error) (*Subscription, error) {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	s, err := b.Subscription(name)
	if err != nil {
		return nil, err
	}
	config := proto.CloneOf(s.Config())
	if err := edit(config); err != nil {
		return nil, err
	}
	if err := b.checkDeadLetter(config); err != nil {
		return nil, err
	}
	batch := b.store.NewBatch()
	withLock(&s.mu, func() {
		s.config = config
		s.backlog.SetPolicy(newPolicy(config))
		batch.PutSubscription(s.record())
		err = b.store.CommitAsync(batch)
		for r := range s.readers {
			r.ready.Notify() // a stream sends the changed properties to its client
		}
	})
	if err != nil {
		return nil, err
	}
	return s, batch.Wait()
}

func (b *Broker) checkDeadLetter(config *pubsubpb.Subscription) error {
	if name := config.GetDeadLetterPolicy().GetDeadLetterTopic(); name != "" {
		_, err := b.Topic(name)
		return err
	}
	return nil
}

// DeleteSubscription deletes a subscription with its backlog.
func (b *Broker) DeleteSubscription(name string) error {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	return b.deleteSubscription(name)
}

func (b *Broker) deleteSubscription(name string) error {
	s, err := b.Subscription(name)
	if err != nil {
		return err
	}
	b.mu.Lock()
	delete(b.subs, name)
	b.mu.Unlock()
	batch := b.store.NewBatch()
	batch.DeleteSubscription(s.name, s.id)
	return s.close(batch, errNotFound(name))
}

// DetachSubscription detaches a subscription from its topic for good and deletes its backlog.
func (b *Broker) DetachSubscription(name string) error {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	s, err := b.Subscription(name)
	if err != nil {
		return err
	}
	batch := b.store.NewBatch()
	withLock(&s.mu, func() {
		s.config = proto.CloneOf(s.config)
		s.config.Detached = true
		batch.PutSubscription(s.record())
	})
	return s.close(batch, errDetached(name))
}

// close removes the subscription from its topic, ends delivery and deletes the backlog. It commits these changes
// together with those in the batch.
func (s *Subscription) close(batch *store.Batch, cause error) error {
	t := s.topic
	withLock(&t.mu, func() {
		if i := slices.Index(t.subs, s); i >= 0 {
			t.subs = slices.Delete(t.subs, i, i+1)
		}
	})
	var err error
	withLock(&s.mu, func() {
		if s.endErr == nil {
			s.endDelivery(cause)
		} else {
			s.endErr = cause
		}
		if s.backlog.Len() > 0 {
			batch.DeleteEntries(s.id)
			for _, m := range s.backlog.DropAll() {
				releaseMessage(batch, m)
			}
		}
		err = s.b.store.CommitAsync(batch)
	})
	if err != nil {
		return err
	}
	return batch.Wait()
}

// markTopicDeleted sets the topic name to that of a deleted topic.
func (s *Subscription) markTopicDeleted(batch *store.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config = proto.CloneOf(s.config)
	s.config.Topic = resource.DeletedTopic
	batch.PutSubscription(s.record())
}

// ListSubscriptions returns the subscriptions of a project, "projects/{project}", sorted by name.
func (b *Broker) ListSubscriptions(project string) []*Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	names := namesIn(b.subs, project)
	out := make([]*Subscription, len(names))
	for i, name := range names {
		out[i] = b.subs[name]
	}
	return out
}

// allSubscriptions returns all subscriptions in no particular order.
func (b *Broker) allSubscriptions() []*Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]*Subscription, 0, len(b.subs))
	for _, s := range b.subs {
		out = append(out, s)
	}
	return out
}
