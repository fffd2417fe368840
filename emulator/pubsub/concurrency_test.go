package pubsub_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestStreamsShareASubscription(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	const n = 300
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i))
	}
	s.publish(t, textMessages(want...)...)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var (
		mu  sync.Mutex
		got []string
		g   errgroup.Group
	)
	for range 4 {
		stream, err := s.subscriber().StreamingPull(ctx)
		require.NoError(t, err)
		require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{
			Subscription: subName("sub"), StreamAckDeadlineSeconds: 60, MaxOutstandingMessages: 3,
		}))
		g.Go(func() error {
			for {
				r, err := stream.Recv()
				if err != nil {
					return nil // canceled below
				}
				if err := stream.Send(&pubsubpb.StreamingPullRequest{AckIds: ackIDs(r.ReceivedMessages)}); err != nil {
					return nil
				}
				mu.Lock()
				got = append(got, bodies(r.ReceivedMessages)...)
				done := len(got) >= n
				mu.Unlock()
				if done {
					cancel()
				}
			}
		})
	}
	require.NoError(t, g.Wait())
	require.ElementsMatch(t, want, got, "each message is delivered to one stream")
}

func TestConcurrentPublishersKeepKeyOrder(t *testing.T) {
	s := start(t, pubsub.Options{Dir: t.TempDir()})
	s.createSub(t, &pubsubpb.Subscription{EnableMessageOrdering: true})
	const keys, each = 8, 50
	g, ctx := errgroup.WithContext(t.Context())
	for k := range keys {
		g.Go(func() error {
			for i := range each {
				_, err := s.publisher().Publish(ctx, &pubsubpb.PublishRequest{
					Topic: topicName("topic"), Messages: keyedMessages(fmt.Sprint("k", k), fmt.Sprint(i)),
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	got := make(map[string][]string)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{MaxOutstandingMessages: 20})
	for n := 0; n < keys*each; {
		r, err := stream.Recv()
		require.NoError(t, err)
		for _, m := range r.ReceivedMessages {
			got[m.Message.OrderingKey] = append(got[m.Message.OrderingKey], string(m.Message.Data))
			n++
		}
		if len(r.ReceivedMessages) > 0 {
			s.ack(t, "sub", r.ReceivedMessages...)
		}
	}
	require.NoError(t, g.Wait())
	for key, order := range got {
		require.Len(t, order, each)
		for i, d := range order {
			require.Equal(t, fmt.Sprint(i), d, key)
		}
	}
}

func TestLargestMessageThroughTheClient(t *testing.T) {
	s := start(t, pubsub.Options{Dir: t.TempDir()})
	s.createSub(t, nil)
	want := bytes.Repeat([]byte("x"), 9_900_000)
	p := s.Publisher(topicName("topic"))
	defer p.Stop()
	_, err := p.Publish(t.Context(), &gcp.Message{Data: want}).Get(t.Context())
	require.NoError(t, err)
	s.receive(t, func(stop func(), m *gcp.Message) {
		require.Len(t, m.Data, len(want))
		m.Ack()
		stop()
	})
}

func TestProjectsAreIsolated(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	_, err := s.publisher().CreateTopic(t.Context(), &pubsubpb.Topic{Name: "projects/q/topics/topic"})
	require.NoError(t, err)
	_, err = s.publisher().Publish(t.Context(), &pubsubpb.PublishRequest{Topic: "projects/q/topics/topic", Messages: textMessages("a")})
	require.NoError(t, err)
	require.Empty(t, s.pull(t, "sub"))
	_, err = s.subscriber().GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: "projects/q/subscriptions/sub"})
	wantCode(t, codes.NotFound, err)
	_, err = s.subscriber().CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: "projects/p/subscriptions/abroad", Topic: "projects/q/topics/topic"})
	require.NoError(t, err, "a subscription may be in another project than its topic")
}

func TestUpdateReachesOpenStreams(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{ProtocolVersion: 1})
	recvKeepAlive(t, stream)
	_, err := s.subscriber().UpdateSubscription(t.Context(), &pubsubpb.UpdateSubscriptionRequest{
		Subscription: &pubsubpb.Subscription{Name: subName("sub"), EnableExactlyOnceDelivery: true},
		UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"enable_exactly_once_delivery"}},
	})
	require.NoError(t, err)
	require.True(t, recvConfirmation(t, stream).SubscriptionProperties.ExactlyOnceDeliveryEnabled)
}
