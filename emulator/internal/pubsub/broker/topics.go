package broker

import (
	"slices"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/proto"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/resource"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

// Topic returns the topic with this full name.
func (b *Broker) Topic(name string) (*Topic, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	t := b.topics[name]
	if t == nil {
		return nil, errNotFound(name)
	}
	return t, nil
}

// CreateTopic creates a topic. The broker takes ownership of config.
func (b *Broker) CreateTopic(config *pubsubpb.Topic) (*Topic, error) {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	if _, err := b.Topic(config.Name); err == nil {
		return nil, errExists(config.Name)
	}
	t := &Topic{b: b, id: b.nextID(), name: config.Name, config: config, snapshots: make(map[*Snapshot]struct{})}
	batch := b.store.NewBatch()
	batch.PutTopic(t.record())
	if err := b.store.Commit(batch); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics[t.name] = t
	return t, nil
}

// UpdateTopic replaces the configuration by a copy that edit has changed.
func (b *Broker) UpdateTopic(name string, edit func(*pubsubpb.Topic) error) (*pubsubpb.Topic, error) {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	t, err := b.Topic(name)
	if err != nil {
		return nil, err
	}
	config := proto.CloneOf(t.Config())
	if err := edit(config); err != nil {
		return nil, err
	}
	batch := b.store.NewBatch()
	batch.PutTopic(store.Topic{ID: t.id, Config: config})
	if err := b.store.Commit(batch); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.config = config
	return config, nil
}

// DeleteTopic deletes a topic. Its subscriptions keep the messages that they have.
func (b *Broker) DeleteTopic(name string) error {
	b.adminMu.Lock()
	defer b.adminMu.Unlock()
	t, err := b.Topic(name)
	if err != nil {
		return err
	}
	batch := b.store.NewBatch()
	batch.DeleteTopic(name)
	b.mu.Lock()
	delete(b.topics, name)
	b.mu.Unlock()
	withLock(&t.mu, func() {
		t.deleted = true
		for _, s := range t.subs {
			s.markTopicDeleted(batch)
		}
		t.trimLog(b.now(), batch)
		err = b.store.CommitAsync(batch)
	})
	if err != nil {
		return err
	}
	return batch.Wait()
}

// ListTopics returns the topics of a project, "projects/{project}", sorted by name.
func (b *Broker) ListTopics(project string) []*pubsubpb.Topic {
	b.mu.RLock()
	names := namesIn(b.topics, project)
	topics := make([]*Topic, len(names))
	for i, name := range names {
		topics[i] = b.topics[name]
	}
	b.mu.RUnlock()
	out := make([]*pubsubpb.Topic, len(topics))
	for i, t := range topics {
		out[i] = t.Config()
	}
	return out
}

// namesIn returns the names of a project's resources, sorted.
func namesIn[T interface {
	*Topic | *Subscription | *Snapshot
}](m map[string]T, project string) []string {
	var names []string
	for name := range m {
		if resource.Project(name) == project {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
