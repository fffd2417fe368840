package pubsub_test

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

func (s *service) seekTime(t testing.TB, id string, to time.Time) {
	t.Helper()
	_, err := s.subscriber().Seek(t.Context(), &pubsubpb.SeekRequest{
		Subscription: subName(id), Target: &pubsubpb.SeekRequest_Time{Time: timestamppb.New(to)},
	})
	require.NoError(t, err)
}

func (s *service) seekSnapshot(t testing.TB, id, snapshot string) error {
	t.Helper()
	_, err := s.subscriber().Seek(t.Context(), &pubsubpb.SeekRequest{
		Subscription: subName(id), Target: &pubsubpb.SeekRequest_Snapshot{Snapshot: snapshotName(snapshot)},
	})
	return err
}

func (s *service) snapshot(t testing.TB, id, sub string) *pubsubpb.Snapshot {
	t.Helper()
	n, err := s.subscriber().CreateSnapshot(t.Context(), &pubsubpb.CreateSnapshotRequest{Name: snapshotName(id), Subscription: subName(sub)})
	require.NoError(t, err)
	return n
}

func TestSeekBackReplaysRetainedMessages(t *testing.T) {
	for name, c := range map[string]struct {
		topic *pubsubpb.Topic
		sub   *pubsubpb.Subscription
		want  []string
	}{
		"nothing retained": {&pubsubpb.Topic{}, &pubsubpb.Subscription{}, nil},
		"acked retained":   {&pubsubpb.Topic{}, &pubsubpb.Subscription{RetainAckedMessages: true}, []string{"b", "c"}},
		"topic retained":   {&pubsubpb.Topic{MessageRetentionDuration: durationpb.New(time.Hour)}, &pubsubpb.Subscription{}, []string{"b", "c"}},
		"both, filtered":   {&pubsubpb.Topic{MessageRetentionDuration: durationpb.New(time.Hour)}, &pubsubpb.Subscription{RetainAckedMessages: true, Filter: "attributes:even"}, []string{"b"}},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			s := start(t, pubsub.Options{Clock: clock})
			c.topic.Name = topicName("topic")
			_, err := s.publisher().CreateTopic(t.Context(), c.topic)
			require.NoError(t, err)
			s.createSubOnly(t, "sub", c.sub)
			s.publish(t, textMessages("a")...)
			clock.Advance(time.Minute)
			middle := clock.Now()
			s.publish(t, &pubsubpb.PubsubMessage{Data: []byte("b"), Attributes: map[string]string{"even": ""}})
			s.publish(t, textMessages("c")...)
			got := s.pull(t, "sub")
			if len(got) > 0 {
				s.ack(t, "sub", got...)
			}
			s.seekTime(t, "sub", middle)
			require.Equal(t, c.want, bodies(s.pull(t, "sub")))
		})
	}
}

func TestSeekForwardPurges(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	s.publish(t, textMessages("a", "b")...)
	leased := s.pull(t, "sub")
	c.Advance(time.Second)
	s.seekTime(t, "sub", c.Now())
	s.publish(t, textMessages("c")...)
	require.Equal(t, []string{"c"}, bodies(s.pull(t, "sub")))
	s.ack(t, "sub", leased...)
}

func TestSeekInvalidatesAckIDs(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	began := c.Now()
	s.publish(t, textMessages("a")...)
	before := s.pull(t, "sub")
	s.seekTime(t, "sub", began)
	s.ack(t, "sub", before...)
	require.Equal(t, []string{"a"}, bodies(s.pull(t, "sub")), "an ack ID from before the seek does not acknowledge the redelivery")
}

func TestSeekToSnapshotRedelivers(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	s.publish(t, textMessages("acked before")...)
	s.ack(t, "sub", s.pull(t, "sub")...)
	s.publish(t, textMessages("waiting")...)
	s.snapshot(t, "snap", "sub")
	s.publish(t, textMessages("after")...)
	s.ack(t, "sub", s.pull(t, "sub")...)
	require.Empty(t, s.pull(t, "sub"))

	require.NoError(t, s.seekSnapshot(t, "sub", "snap"))
	got := s.pull(t, "sub")
	require.Equal(t, []string{"waiting", "after"}, bodies(got))
	s.ack(t, "sub", got...)

	s.createSubOnly(t, "other", &pubsubpb.Subscription{})
	require.NoError(t, s.seekSnapshot(t, "other", "snap"))
	require.Equal(t, []string{"waiting", "after"}, bodies(s.pull(t, "other")), "any subscription of the topic can seek to it")
}

func TestSeekToSnapshotOfAnotherTopic(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	s.snapshot(t, "snap", "sub")
	s.createTopic(t, "elsewhere")
	_, err := s.subscriber().CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: subName("stranger"), Topic: topicName("elsewhere")})
	require.NoError(t, err)
	wantCode(t, codes.FailedPrecondition, s.seekSnapshot(t, "stranger", "snap"))
	wantCode(t, codes.NotFound, s.seekSnapshot(t, "sub", "none"))
}

func TestSnapshotExpiration(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	c.Advance(24 * time.Hour)
	n := s.snapshot(t, "snap", "sub")
	require.Equal(t, c.Now().Add(6*24*time.Hour), n.ExpireTime.AsTime(), "seven days from the oldest message")
	_, err := s.subscriber().CreateSnapshot(t.Context(), &pubsubpb.CreateSnapshotRequest{Name: n.Name, Subscription: subName("sub")})
	wantCode(t, codes.AlreadyExists, err)
	n.Labels = map[string]string{"a": "b"}
	_, err = s.subscriber().UpdateSnapshot(t.Context(), &pubsubpb.UpdateSnapshotRequest{Snapshot: n, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"labels"}}})
	require.NoError(t, err)
	r, err := s.subscriber().ListSnapshots(t.Context(), &pubsubpb.ListSnapshotsRequest{Project: "projects/p"})
	require.NoError(t, err)
	require.Len(t, r.Snapshots, 1)
	require.Equal(t, n.Labels, r.Snapshots[0].Labels)
	of, err := s.publisher().ListTopicSnapshots(t.Context(), &pubsubpb.ListTopicSnapshotsRequest{Topic: topicName("topic")})
	require.NoError(t, err)
	require.Equal(t, []string{n.Name}, of.Snapshots)

	c.Advance(6*24*time.Hour + time.Minute)
	_, err = s.subscriber().GetSnapshot(t.Context(), &pubsubpb.GetSnapshotRequest{Snapshot: n.Name})
	wantCode(t, codes.NotFound, err)
}
