package pubsub_test

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestAckDeadlineRedelivers(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, &pubsubpb.Subscription{AckDeadlineSeconds: 30})
	s.publish(t, textMessages("a")...)
	first := s.pull(t, "sub")
	require.Len(t, first, 1)
	c.Advance(29 * time.Second)
	require.Empty(t, s.pull(t, "sub"))
	c.Advance(time.Second)
	second := s.pull(t, "sub")
	require.Equal(t, []string{"a"}, bodies(second))
	require.NotEqual(t, first[0].AckId, second[0].AckId)
	s.ack(t, "sub", first...)
	c.Advance(time.Hour)
	require.Empty(t, s.pull(t, "sub"), "a late acknowledgement takes effect")
}

func TestRetryPolicyBacksOff(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, &pubsubpb.Subscription{RetryPolicy: &pubsubpb.RetryPolicy{
		MinimumBackoff: durationpb.New(10 * time.Second), MaximumBackoff: durationpb.New(25 * time.Second),
	}})
	s.publish(t, textMessages("a")...)
	for _, wait := range []time.Duration{10 * time.Second, 20 * time.Second, 25 * time.Second, 25 * time.Second} {
		got := s.pull(t, "sub")
		require.Len(t, got, 1)
		s.nack(t, "sub", got...)
		c.Advance(wait - time.Millisecond)
		require.Empty(t, s.pull(t, "sub"), "before %v", wait)
		c.Advance(time.Millisecond)
	}
	require.Len(t, s.pull(t, "sub"), 1)
	c.Advance(10 * time.Second)
	require.Empty(t, s.pull(t, "sub"), "an expired lease backs off as well")
	c.Advance(25 * time.Second)
	require.Len(t, s.pull(t, "sub"), 1)
}

func TestDeadLetter(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createTopic(t, "dead")
	_, err := s.subscriber().CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: subName("dead-letters"), Topic: topicName("dead")})
	require.NoError(t, err)
	s.createSub(t, &pubsubpb.Subscription{DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("dead"), MaxDeliveryAttempts: 5}})
	s.publish(t, &pubsubpb.PubsubMessage{Data: []byte("poison"), Attributes: map[string]string{"mine": "1"}})
	var published time.Time
	for attempt := range 5 {
		got := s.pull(t, "sub")
		require.Len(t, got, 1)
		require.EqualValues(t, attempt+1, got[0].DeliveryAttempt)
		published = got[0].Message.PublishTime.AsTime()
		s.nack(t, "sub", got...)
	}
	require.Empty(t, s.pull(t, "sub"))
	letters := s.pull(t, "dead-letters")
	require.Equal(t, []string{"poison"}, bodies(letters))
	require.Equal(t, map[string]string{
		"mine": "1",
		"CloudPubSubDeadLetterSourceDeliveryCount":       "5",
		"CloudPubSubDeadLetterSourceSubscription":        "sub",
		"CloudPubSubDeadLetterSourceSubscriptionProject": "p",
		"CloudPubSubDeadLetterSourceTopicPublishTime":    published.Format(time.RFC3339Nano),
	}, letters[0].Message.Attributes)
}

func TestDeletedDeadLetterTopicKeepsMessage(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createTopic(t, "dead")
	s.createSub(t, &pubsubpb.Subscription{DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("dead")}})
	_, err := s.publisher().DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: topicName("dead")})
	require.NoError(t, err)
	s.publish(t, textMessages("poison")...)
	for range 7 {
		got := s.pull(t, "sub")
		require.Len(t, got, 1)
		s.nack(t, "sub", got...)
	}
}

func TestNackBlocksOrderingKey(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, &pubsubpb.Subscription{EnableMessageOrdering: true, RetryPolicy: &pubsubpb.RetryPolicy{}})
	s.publish(t, keyedMessages("k", "k1", "k2", "k3")...)
	s.publish(t, keyedMessages("l", "l1")...)
	s.publish(t, textMessages("free")...)
	got := s.pull(t, "sub")
	require.ElementsMatch(t, []string{"k1", "k2", "k3", "l1", "free"}, bodies(got))
	for _, m := range got {
		if string(m.Message.Data) == "k2" {
			s.nack(t, "sub", m)
		} else if m.Message.OrderingKey != "k" {
			s.ack(t, "sub", m)
		}
	}
	s.publish(t, keyedMessages("k", "k4")...)
	s.publish(t, keyedMessages("l", "l2")...)
	require.Equal(t, []string{"l2"}, bodies(s.pull(t, "sub")), "only the key of the nacked message waits")
	for _, m := range got {
		if string(m.Message.Data) == "k1" {
			s.ack(t, "sub", m)
		}
	}
	c.Advance(10 * time.Second)
	require.Contains(t, bodies(s.pull(t, "sub")), "k2", "after the back-off, k2 is delivered first")
}

func TestExactlyOnceAckIDsExpire(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
	s.publish(t, textMessages("a", "b")...)
	first := s.pull(t, "sub")
	require.Len(t, first, 2)
	s.ack(t, "sub", first[0])
	c.Advance(10 * time.Second)

	for name, call := range map[string]func() error{
		"expired": func() error { return s.tryAck(t, "sub", first[1].AckId) },
		"extended too late": func() error {
			_, err := s.subscriber().ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: subName("sub"), AckIds: []string{first[1].AckId}, AckDeadlineSeconds: 60})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			wantCode(t, codes.FailedPrecondition, err)
			require.Equal(t, map[string]string{first[1].AckId: "PERMANENT_FAILURE_INVALID_ACK_ID"}, errorInfo(t, err))
		})
	}
	second := s.pull(t, "sub")
	require.Equal(t, []string{"b"}, bodies(second))
	s.ack(t, "sub", second...)
	c.Advance(time.Minute)
	require.Empty(t, s.pull(t, "sub"))
}

func errorInfo(t *testing.T, err error) map[string]string {
	t.Helper()
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.Metadata
		}
	}
	require.Fail(t, "no ErrorInfo", "%v", err)
	return nil
}

func TestMalformedAckID(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	wantCode(t, codes.InvalidArgument, s.tryAck(t, "sub", "malformed"))
	wantCode(t, codes.InvalidArgument, s.tryAck(t, "sub"))
	_, err := s.subscriber().ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: subName("sub"), AckIds: []string{"x"}, AckDeadlineSeconds: 601})
	wantCode(t, codes.InvalidArgument, err)
}

func TestPullWaitsForAMessage(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	got := make(chan []string, 1)
	go func() {
		r, err := s.subscriber().Pull(t.Context(), &pubsubpb.PullRequest{Subscription: subName("sub"), MaxMessages: 10})
		if err != nil {
			got <- []string{err.Error()}
			return
		}
		got <- bodies(r.ReceivedMessages)
	}()
	s.publish(t, textMessages("a")...)
	require.Equal(t, []string{"a"}, <-got)
}

func TestRetentionDropsOldMessages(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, &pubsubpb.Subscription{MessageRetentionDuration: durationpb.New(10 * time.Minute)})
	s.publish(t, textMessages("old")...)
	c.Advance(8 * time.Minute)
	s.publish(t, textMessages("young")...)
	c.Advance(3 * time.Minute)
	require.Equal(t, []string{"young"}, bodies(s.pull(t, "sub")))
}

func TestUnusedSubscriptionExpires(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	day := &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)}
	retention := durationpb.New(time.Hour)
	s.createSub(t, &pubsubpb.Subscription{ExpirationPolicy: day, MessageRetentionDuration: retention})
	s.createSubOnly(t, "used", &pubsubpb.Subscription{ExpirationPolicy: day, MessageRetentionDuration: retention})
	s.createSubOnly(t, "eternal", &pubsubpb.Subscription{ExpirationPolicy: &pubsubpb.ExpirationPolicy{}})
	c.Advance(23 * time.Hour)
	s.pull(t, "used")
	c.Advance(2 * time.Hour)
	for id, want := range map[string]codes.Code{"sub": codes.NotFound, "used": codes.OK, "eternal": codes.OK} {
		_, err := s.subscriber().GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: subName(id)})
		wantCode(t, want, err)
	}
}
