package pubsub_test

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestReopenKeepsEverything(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	s := start(t, pubsub.Options{Dir: dir, Clock: c})
	_, err := s.publisher().CreateTopic(t.Context(), &pubsubpb.Topic{Name: topicName("topic"), MessageRetentionDuration: durationpb.New(time.Hour)})
	require.NoError(t, err)
	s.createSubOnly(t, "sub", &pubsubpb.Subscription{RetainAckedMessages: true, EnableMessageOrdering: true, Labels: map[string]string{"a": "b"}})
	s.createSubOnly(t, "detached", &pubsubpb.Subscription{})
	s.createSubOnly(t, "deleted", &pubsubpb.Subscription{})
	began := c.Now()
	s.publish(t, keyedMessages("k", "acked", "leased", "waiting")...)
	got := s.pull(t, "sub")
	s.ack(t, "sub", got[0])
	s.snapshot(t, "snap", "sub")
	_, err = s.publisher().DetachSubscription(t.Context(), &pubsubpb.DetachSubscriptionRequest{Subscription: subName("detached")})
	require.NoError(t, err)
	_, err = s.subscriber().DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: subName("deleted")})
	require.NoError(t, err)
	want := s.listResources(t)
	s.stop()

	s = start(t, pubsub.Options{Dir: dir, Clock: c})
	require.Empty(t, cmp.Diff(want, s.listResources(t), protocmp.Transform()))
	got = s.pull(t, "sub")
	require.Equal(t, []string{"leased", "waiting"}, bodies(got), "in order; the restart has ended the leases")
	s.ack(t, "sub", got...)
	require.NoError(t, s.seekSnapshot(t, "sub", "snap"))
	require.Equal(t, []string{"leased", "waiting"}, bodies(s.pull(t, "sub")))
	s.seekTime(t, "sub", began)
	require.Equal(t, []string{"acked", "leased", "waiting"}, bodies(s.pull(t, "sub")))
	s.createSubOnly(t, "late", &pubsubpb.Subscription{})
	s.seekTime(t, "late", began)
	require.Len(t, s.pull(t, "late"), 3, "the topic retains messages across the restart")
	_, err = s.subscriber().Pull(t.Context(), &pubsubpb.PullRequest{Subscription: subName("detached"), MaxMessages: 1})
	wantCode(t, codes.FailedPrecondition, err)
}

// listResources returns the results of all List calls.
func (s *service) listResources(t testing.TB) []any {
	t.Helper()
	topics, err := s.publisher().ListTopics(t.Context(), &pubsubpb.ListTopicsRequest{Project: "projects/p"})
	require.NoError(t, err)
	subs, err := s.subscriber().ListSubscriptions(t.Context(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/p"})
	require.NoError(t, err)
	snaps, err := s.subscriber().ListSnapshots(t.Context(), &pubsubpb.ListSnapshotsRequest{Project: "projects/p"})
	require.NoError(t, err)
	return []any{topics, subs, snaps}
}

func TestReopenAfterTopicWasDeleted(t *testing.T) {
	dir := t.TempDir()
	s := start(t, pubsub.Options{Dir: dir})
	s.createSub(t, nil)
	s.publish(t, textMessages("kept")...)
	s.snapshot(t, "snap", "sub")
	_, err := s.publisher().DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: topicName("topic")})
	require.NoError(t, err)
	s.stop()

	s = start(t, pubsub.Options{Dir: dir})
	got := s.pull(t, "sub")
	require.Equal(t, []string{"kept"}, bodies(got))
	s.ack(t, "sub", got...)
	require.NoError(t, s.seekSnapshot(t, "sub", "snap"))
	require.Equal(t, []string{"kept"}, bodies(s.pull(t, "sub")))
}

func TestExpirationCountsAcrossRestarts(t *testing.T) {
	dir, c := t.TempDir(), newClock()
	s := start(t, pubsub.Options{Dir: dir, Clock: c})
	s.createSub(t, &pubsubpb.Subscription{
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)},
		MessageRetentionDuration: durationpb.New(time.Hour),
	})
	s.stop()
	c.Advance(25 * time.Hour)
	s = start(t, pubsub.Options{Dir: dir, Clock: c})
	c.Advance(time.Minute)
	_, err := s.subscriber().GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: subName("sub")})
	wantCode(t, codes.NotFound, err)
}

func TestOneServerPerDirectory(t *testing.T) {
	dir := t.TempDir()
	start(t, pubsub.Options{Dir: dir})
	_, err := pubsub.Open(pubsub.Options{Dir: dir})
	var locked *emulator.LockedError
	require.ErrorAs(t, err, &locked)
}

func TestReopenKeepsDeliveryAttempts(t *testing.T) {
	dir := t.TempDir()
	s := start(t, pubsub.Options{Dir: dir})
	s.createTopic(t, "dead")
	s.createSub(t, &pubsubpb.Subscription{DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: topicName("dead")}})
	s.publish(t, textMessages("a")...)
	s.nack(t, "sub", s.pull(t, "sub")...)
	s.nack(t, "sub", s.pull(t, "sub")...)
	s.stop()

	s = start(t, pubsub.Options{Dir: dir})
	got := s.pull(t, "sub")
	require.Len(t, got, 1)
	require.EqualValues(t, 3, got[0].DeliveryAttempt)
}

func TestAckOfDeliveryFromBeforeRestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, pubsub.Options{Dir: dir})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	got := s.pull(t, "sub")
	s.stop()

	s = start(t, pubsub.Options{Dir: dir})
	s.ack(t, "sub", got...)
	require.Empty(t, s.pull(t, "sub"))
}
