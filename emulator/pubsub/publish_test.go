package pubsub_test

import (
	"fmt"
	"strings"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestPublishLimits(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	attributes := func(n int) map[string]string {
		m := make(map[string]string)
		for i := range n {
			m[fmt.Sprint("k", i)] = "v"
		}
		return m
	}
	one := func(m *pubsubpb.PubsubMessage) []*pubsubpb.PubsubMessage { return []*pubsubpb.PubsubMessage{m} }
	data := []byte("x")
	for name, c := range map[string]struct {
		messages []*pubsubpb.PubsubMessage
		want     codes.Code
	}{
		"none":               {nil, codes.InvalidArgument},
		"empty":              {textMessages(""), codes.InvalidArgument},
		"attributes only":    {one(&pubsubpb.PubsubMessage{Attributes: attributes(1)}), codes.OK},
		"many":               {textMessages(strings.Split(strings.Repeat("x,", 999)+"x", ",")...), codes.OK},
		"too many":           {textMessages(strings.Split(strings.Repeat("x,", 1000)+"x", ",")...), codes.InvalidArgument},
		"large":              {textMessages(strings.Repeat("x", 10<<20-100)), codes.OK},
		"too large":          {textMessages(strings.Repeat("x", 10<<20)), codes.InvalidArgument},
		"attributes":         {one(&pubsubpb.PubsubMessage{Attributes: attributes(100)}), codes.OK},
		"too many attribute": {one(&pubsubpb.PubsubMessage{Attributes: attributes(101)}), codes.InvalidArgument},
		"long key":           {one(&pubsubpb.PubsubMessage{Attributes: map[string]string{strings.Repeat("k", 257): "v"}}), codes.InvalidArgument},
		"empty key":          {one(&pubsubpb.PubsubMessage{Attributes: map[string]string{"": "v"}}), codes.InvalidArgument},
		"reserved key":       {one(&pubsubpb.PubsubMessage{Attributes: map[string]string{"googx": "v"}}), codes.InvalidArgument},
		"long value":         {one(&pubsubpb.PubsubMessage{Attributes: map[string]string{"k": strings.Repeat("v", 1025)}}), codes.InvalidArgument},
		"long ordering key":  {one(&pubsubpb.PubsubMessage{Data: data, OrderingKey: strings.Repeat("k", 1025)}), codes.InvalidArgument},
		"mixed keys":         {append(keyedMessages("a", "x"), keyedMessages("b", "x")...), codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.publisher().Publish(t.Context(), &pubsubpb.PublishRequest{Topic: topicName("topic"), Messages: c.messages})
			wantCode(t, c.want, err)
		})
	}
}

func TestPublishSetsIDAndTime(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	ids := s.publish(t, &pubsubpb.PubsubMessage{Data: []byte("a"), MessageId: "mine"}, &pubsubpb.PubsubMessage{Data: []byte("b")})
	require.Len(t, ids, 2)
	require.NotEqual(t, ids[0], ids[1])
	got := s.pull(t, "sub")
	require.Len(t, got, 2)
	for i, m := range got {
		require.Equal(t, ids[i], m.Message.MessageId)
		require.Equal(t, c.Now(), m.Message.PublishTime.AsTime())
		require.Zero(t, m.DeliveryAttempt, "it is set only with a dead-letter policy")
	}
}

func TestEverySubscriptionGetsACopy(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	s.publish(t, textMessages("before")...)
	s.createSubOnly(t, "late", &pubsubpb.Subscription{})
	s.publish(t, textMessages("after")...)
	first := s.pull(t, "sub")
	require.Equal(t, []string{"before", "after"}, bodies(first))
	s.ack(t, "sub", first...)
	require.Equal(t, []string{"after"}, bodies(s.pull(t, "late")), "an acknowledgement concerns one subscription")
}

func TestFilterSelectsMessages(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, &pubsubpb.Subscription{Filter: `attributes.lane = "batch" AND NOT attributes:skip`})
	s.createSubOnly(t, "all", &pubsubpb.Subscription{})
	for _, m := range []*pubsubpb.PubsubMessage{
		{Data: []byte("yes"), Attributes: map[string]string{"lane": "batch"}},
		{Data: []byte("other lane"), Attributes: map[string]string{"lane": "interactive"}},
		{Data: []byte("skipped"), Attributes: map[string]string{"lane": "batch", "skip": ""}},
		{Data: []byte("bare")},
	} {
		s.publish(t, m)
	}
	require.Equal(t, []string{"yes"}, bodies(s.pull(t, "sub")))
	require.Len(t, s.pull(t, "all"), 4)
}
