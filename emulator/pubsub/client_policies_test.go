package pubsub_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestClientDeadLetter(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createTopic(t, "dead")
	_, err := s.SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: subName("dead-letters"), Topic: topicName("dead")})
	require.NoError(t, err)
	s.createSub(t, &pubsubpb.Subscription{
		DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("dead"), MaxDeliveryAttempts: 6},
		RetryPolicy:      &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(0), MaximumBackoff: durationpb.New(0)},
	})
	s.publish(t, &pubsubpb.PubsubMessage{Data: []byte("poison"), Attributes: map[string]string{"mine": "1"}})
	s.publish(t, textMessages("fine")...)
	var attempts []int
	var published time.Time
	fine := false
	s.receive(t, func(stop func(), m *gcp.Message) {
		if string(m.Data) == "fine" {
			fine = true
			m.Ack()
		} else {
			attempts = append(attempts, *m.DeliveryAttempt)
			published = m.PublishTime
			m.Nack()
		}
		if fine && len(attempts) == 6 {
			stop()
		}
	})
	require.Equal(t, []int{1, 2, 3, 4, 5, 6}, attempts)

	letters := s.Subscriber(subName("dead-letters"))
	ctx, cancel := context.WithCancel(withTimeout(t, 20*time.Second))
	defer cancel()
	require.NoError(t, letters.Receive(ctx, func(_ context.Context, m *gcp.Message) {
		require.Equal(t, "poison", string(m.Data))
		require.Nil(t, m.DeliveryAttempt, "the dead-letter subscription has no policy of its own")
		require.Equal(t, map[string]string{
			"mine": "1",
			"CloudPubSubDeadLetterSourceDeliveryCount":       "6",
			"CloudPubSubDeadLetterSourceSubscription":        "sub",
			"CloudPubSubDeadLetterSourceSubscriptionProject": "p",
			"CloudPubSubDeadLetterSourceTopicPublishTime":    published.UTC().Format(time.RFC3339Nano),
		}, m.Attributes)
		m.Ack()
		cancel()
	}))
	require.Equal(t, context.Canceled, ctx.Err(), "the dead letter arrived before the time-out")
	require.Empty(t, s.pull(t, "sub"))
}

// TestDeadLettersAreForwardedInBatches exhausts more bytes of messages than one batch forwards.
func TestDeadLettersAreForwardedInBatches(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createTopic(t, "dead")
	_, err := s.subscriber().CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: subName("dead-letters"), Topic: topicName("dead")})
	require.NoError(t, err)
	s.createSub(t, &pubsubpb.Subscription{DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("dead"), MaxDeliveryAttempts: 5}})
	var want []string
	for i := range 7 {
		want = append(want, fmt.Sprint(i, strings.Repeat("x", 1<<20)))
		s.publish(t, textMessages(want[i])...)
	}
	for range 5 {
		require.Len(t, s.pullAll(t, "sub"), len(want))
		c.Advance(10 * time.Second)
	}
	require.Empty(t, s.pull(t, "sub"))
	var got []string
	for letters := s.pull(t, "dead-letters"); len(letters) > 0; letters = s.pull(t, "dead-letters") {
		got = append(got, bodies(letters)...)
	}
	require.ElementsMatch(t, want, got)
}

// TestClientFilters publishes the same messages to subscriptions with different filters.
func TestClientFilters(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createTopic(t, "topic")
	cases := map[string]struct {
		filter string
		want   []string
	}{
		"all":      {"", []string{"bare", "de", "en", "en-urgent"}},
		"has":      {"attributes:lang", []string{"de", "en", "en-urgent"}},
		"equal":    {`attributes.lang = "en"`, []string{"en", "en-urgent"}},
		"unequal":  {`attributes.lang != "en"`, []string{"bare", "de"}},
		"prefix":   {`hasPrefix(attributes.lang, "d")`, []string{"de"}},
		"not":      {"NOT attributes:lang", []string{"bare"}},
		"and":      {`attributes.lang = "en" AND attributes:urgent`, []string{"en-urgent"}},
		"or":       {`attributes.lang = "de" OR attributes:urgent`, []string{"de", "en-urgent"}},
		"together": {`attributes:lang AND NOT (attributes.lang = "de" OR attributes:urgent)`, []string{"en"}},
	}
	for name, c := range cases {
		s.createSubOnly(t, "sub-"+name, &pubsubpb.Subscription{Filter: c.filter})
	}
	p := s.Publisher(topicName("topic"))
	defer p.Stop()
	for data, attributes := range map[string]map[string]string{
		"bare":      nil,
		"de":        {"lang": "de"},
		"en":        {"lang": "en"},
		"en-urgent": {"lang": "en", "urgent": ""},
	} {
		_, err := p.Publish(t.Context(), &gcp.Message{Data: []byte(data), Attributes: attributes}).Get(t.Context())
		require.NoError(t, err)
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			require.ElementsMatch(t, c.want, bodies(s.pull(t, "sub-"+name)))
		})
	}
}

// TestClientNackBlocksOrderingKey nacks a message in the middle of an ordering key, with and without exactly-once
// delivery. No message of the key is delivered during the back-off; then the nacked message and those after it are
// delivered again in order. Other keys are not affected.
func TestClientNackBlocksOrderingKey(t *testing.T) {
	for name, exactly := range map[string]bool{"at least once": false, "exactly once": true} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			s := start(t, pubsub.Options{Clock: c})
			s.createSub(t, &pubsubpb.Subscription{
				EnableMessageOrdering: true, EnableExactlyOnceDelivery: exactly,
				RetryPolicy: &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(5 * time.Second)},
			})
			s.publish(t, keyedMessages("k", "1", "2", "3", "4")...)
			s.publish(t, keyedMessages("other", "a")...)
			got := s.pull(t, "sub")
			require.ElementsMatch(t, []string{"1", "2", "3", "4", "a"}, bodies(got))
			byData := make(map[string]*pubsubpb.ReceivedMessage)
			for _, m := range got {
				byData[string(m.Message.Data)] = m
			}
			s.ack(t, "sub", byData["1"], byData["a"])
			s.nack(t, "sub", byData["2"])
			s.publish(t, keyedMessages("k", "5")...)
			s.publish(t, keyedMessages("other", "b")...)
			got = s.pull(t, "sub")
			require.Equal(t, []string{"b"}, bodies(got))
			s.ack(t, "sub", got...)
			c.Advance(5*time.Second - time.Millisecond)
			require.Empty(t, s.pull(t, "sub"))
			c.Advance(time.Millisecond)
			got = s.pull(t, "sub")
			require.Equal(t, []string{"2", "3", "4", "5"}, bodies(got))
			s.ack(t, "sub", got...)
			c.Advance(time.Hour)
			require.Empty(t, s.pull(t, "sub"))
		})
	}
}
