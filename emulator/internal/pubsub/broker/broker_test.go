package broker

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	topicName = "projects/p/topics/topic"
	snapName  = "projects/p/snapshots/snap"
)

func subName(i int) string { return fmt.Sprintf("projects/p/subscriptions/sub%d", i) }

func open(t *testing.T, dir string) *Broker {
	t.Helper()
	b, err := Open(dir, SystemClock{}, zaptest.NewLogger(t))
	require.NoError(t, err)
	return b
}

func createTopicAndSubs(t *testing.T, b *Broker, subs int) (*Topic, []*Subscription) {
	t.Helper()
	topic, err := b.CreateTopic(&pubsubpb.Topic{Name: topicName})
	require.NoError(t, err)
	var out []*Subscription
	for i := range subs {
		s, err := b.CreateSubscription(config(i))
		require.NoError(t, err)
		out = append(out, s)
	}
	return topic, out
}

func config(i int) *pubsubpb.Subscription {
	return &pubsubpb.Subscription{
		Name: subName(i), Topic: topicName, AckDeadlineSeconds: 60,
		MessageRetentionDuration: durationpb.New(time.Hour),
	}
}

func messages(n int) []*pubsubpb.PubsubMessage {
	out := make([]*pubsubpb.PubsubMessage, n)
	for i := range out {
		out[i] = &pubsubpb.PubsubMessage{Data: []byte("x")}
	}
	return out
}

// countStored counts the messages and the entries on disk.
func countStored(t *testing.T, b *Broker, subs ...*Subscription) (bodies, entries int) {
	t.Helper()
	require.NoError(t, b.store.Messages(func(uint64, func() (uint64, *pubsubpb.PubsubMessage, error)) error {
		bodies++
		return nil
	}))
	for _, s := range subs {
		require.NoError(t, b.store.Entries(s.id, func(store.Entry) error {
			entries++
			return nil
		}))
	}
	return bodies, entries
}

// ackMessages reads and acknowledges n messages.
func ackMessages(s *Subscription, n int) error {
	r, err := s.NewReader(0, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	for n > 0 {
		select {
		case <-r.Ready():
		case <-r.Done():
		}
		got, err := r.Pull(100)
		if err != nil {
			return err
		}
		var ids []string
		for _, m := range got {
			ids = append(ids, m.AckId)
		}
		if len(ids) == 0 {
			continue
		}
		if _, err := s.Ack(ids); err != nil {
			return err
		}
		n -= len(ids)
	}
	return nil
}

func TestMessageIsDeletedWithLastReference(t *testing.T) {
	b := open(t, "")
	defer func() { require.NoError(t, b.Close()) }()
	topic, subs := createTopicAndSubs(t, b, 3)
	_, err := topic.Publish(messages(10))
	require.NoError(t, err)
	want := func(bodies, entries int) {
		t.Helper()
		gotBodies, gotEntries := countStored(t, b, subs...)
		require.Equal(t, []int{bodies, entries}, []int{gotBodies, gotEntries})
	}
	want(10, 30)
	require.NoError(t, ackMessages(subs[0], 10))
	want(10, 20)
	require.NoError(t, b.DeleteSubscription(subName(1)))
	want(10, 10)
	_, err = b.CreateSnapshot(snapName, subName(2), nil)
	require.NoError(t, err)
	require.NoError(t, ackMessages(subs[2], 10))
	want(10, 0)
	require.NoError(t, subs[2].SeekSnapshot(snapName))
	want(10, 10)
	require.NoError(t, b.DetachSubscription(subName(2)))
	want(10, 0)
	require.NoError(t, b.DeleteSnapshot(snapName))
	want(0, 0)
}

func TestPublishWithoutSubscriptionsStoresNothing(t *testing.T) {
	b := open(t, "")
	defer func() { require.NoError(t, b.Close()) }()
	topic, _ := createTopicAndSubs(t, b, 0)
	ids, err := topic.Publish(messages(3))
	require.NoError(t, err)
	require.Len(t, ids, 3)
	bodies, _ := countStored(t, b)
	require.Zero(t, bodies)
}

// TestConcurrentChangesLeaveNoData publishes while subscriptions and snapshots are created and deleted. In the end no
// message may remain on disk or in memory.
func TestConcurrentChangesLeaveNoData(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir)
	topic, subs := createTopicAndSubs(t, b, 2)
	const publications, each = 60, 20
	var g errgroup.Group
	for range 3 {
		g.Go(func() error {
			for range publications {
				if _, err := topic.Publish(messages(each)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, s := range subs {
		g.Go(func() error { return ackMessages(s, 3*publications*each) })
	}
	g.Go(func() error {
		for i := range 20 {
			s, err := b.CreateSubscription(config(10 + i))
			if err != nil {
				return err
			}
			if err := b.DeleteSubscription(s.name); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		for range 10 {
			if _, err := b.CreateSnapshot(snapName, subName(0), nil); err != nil {
				return err
			}
			if err := b.DeleteSnapshot(snapName); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, g.Wait())
	b.sweepAll() // removes the messages that were in flight when the last snapshot was deleted
	bodies, entries := countStored(t, b, subs...)
	require.Zero(t, bodies)
	require.Zero(t, entries)
	require.Empty(t, topic.log)
	require.Empty(t, topic.inFlight)
	require.NoError(t, b.Close())

	b = open(t, dir)
	bodies, _ = countStored(t, b)
	require.Zero(t, bodies)
	require.NoError(t, b.Close())
}

func TestSeekWhilePublishing(t *testing.T) {
	b := open(t, "")
	defer func() { require.NoError(t, b.Close()) }()
	topic, subs := createTopicAndSubs(t, b, 1)
	var g errgroup.Group
	g.Go(func() error {
		for range 200 {
			if _, err := topic.Publish(messages(5)); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		for range 50 {
			if err := subs[0].SeekTime(time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, g.Wait())
	require.NoError(t, subs[0].SeekTime(time.Now().Add(time.Second)))
	bodies, entries := countStored(t, b, subs...)
	require.Zero(t, bodies)
	require.Zero(t, entries)
}

// A reader that holds messages, confirmed or not, goes on until it is closed: it gets an error, and no data is left.
func TestReaderOfDeletedSubscription(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(b *Broker, s *Subscription) error
		code codes.Code
	}{
		"deleted":  {func(b *Broker, s *Subscription) error { return b.DeleteSubscription(s.Name()) }, codes.NotFound},
		"detached": {func(b *Broker, s *Subscription) error { return b.DetachSubscription(s.Name()) }, codes.FailedPrecondition},
		"expired": {func(b *Broker, s *Subscription) error {
			b.sweepSubscription(s, time.Now().Add(48*time.Hour))
			return nil
		}, codes.NotFound},
		"deleted after its topic": {func(b *Broker, s *Subscription) error {
			return errors.Join(b.DeleteTopic(topicName), b.DeleteSubscription(s.Name()))
		}, codes.NotFound},
		"detached and deleted": {func(b *Broker, s *Subscription) error {
			return errors.Join(b.DetachSubscription(s.Name()), b.DeleteSubscription(s.Name()))
		}, codes.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, "")
			defer func() { require.NoError(t, b.Close()) }()
			topic, err := b.CreateTopic(&pubsubpb.Topic{Name: topicName})
			require.NoError(t, err)
			ordered := config(0)
			ordered.EnableMessageOrdering = true
			ordered.ExpirationPolicy = &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)}
			s, err := b.CreateSubscription(ordered)
			require.NoError(t, err)
			r, err := s.NewReader(4, 0)
			require.NoError(t, err)
			batch := messages(6)
			batch[1].OrderingKey, batch[2].OrderingKey = "k", "k"
			_, err = topic.Publish(batch)
			require.NoError(t, err)
			<-r.Ready()
			got, err := r.Pull(1)
			require.NoError(t, err)
			require.Len(t, got, 1)
			r.Confirm()
			<-r.Ready()
			got, err = r.Pull(3)
			require.NoError(t, err)
			require.Len(t, got, 3, "not confirmed")

			if name == "expired" {
				delete(s.readers, r) // a subscription with a reader is in use until the moment of the check
			}
			require.NoError(t, c.end(b, s))
			<-r.Done()
			r.Ready()
			_, err = r.Pull(1)
			require.Equal(t, c.code, status.Code(err))
			_, err = s.Ack([]string{got[0].AckId})
			require.Equal(t, c.code, status.Code(err))
			r.Pause()
			r.Close()
			bodies, entries := countStored(t, b, s)
			require.Zero(t, bodies)
			require.Zero(t, entries)
		})
	}
}

func TestAckIDRoundTrip(t *testing.T) {
	want := ackID{1, 1 << 60, 3}
	got, ok := parseAckID(want.String())
	require.True(t, ok)
	require.Equal(t, want, got)
	for _, s := range []string{"", "a", want.String() + "A", "!" + want.String()[1:]} {
		_, ok := parseAckID(s)
		require.False(t, ok, s)
	}
}
