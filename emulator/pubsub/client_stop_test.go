package pubsub_test

import (
	"context"
	"io"
	"testing"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// A client that stops sends its last nacks by calls, so the messages come back on the stream that it is about to
// close. The clock stands still: a message that stays leased is never delivered again.
func TestStoppedClientLeavesNothingLeased(t *testing.T) {
	for name, finish := range map[string]func(*gcp.Message){"nacks": (*gcp.Message).Nack, "acks": (*gcp.Message).Ack} {
		t.Run(name, func(t *testing.T) {
			s := start(t, pubsub.Options{Clock: newClock()})
			s.createSub(t, nil)
			left := make(map[string]bool)
			for _, id := range s.publish(t, numberedMessages(150)...) {
				left[id] = true
			}
			for range 3 {
				finished := 0
				sub := s.Subscriber(subName("sub"))
				sub.ReceiveSettings.MaxOutstandingMessages = 10
				receive(t, sub, func(stop func(), m *gcp.Message) {
					finish(m)
					if name == "acks" {
						delete(left, m.ID)
					}
					if finished++; finished == 30 {
						stop()
					}
				})
			}
			require.NotEmpty(t, left)
			s.receive(t, func(stop func(), m *gcp.Message) {
				m.Ack()
				if delete(left, m.ID); len(left) == 0 {
					stop()
				}
			})
		})
	}
}

func TestStreamEndFreesWhatIsNotConfirmed(t *testing.T) {
	s := start(t, pubsub.Options{Clock: newClock()})
	s.createSub(t, &pubsubpb.Subscription{RetryPolicy: &pubsubpb.RetryPolicy{}})
	s.publish(t, textMessages("a", "b", "c")...)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{})
	got := recvMessages(t, stream, 3)
	_, err := s.subscriber().ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: subName("sub"), AckIds: ackIDs(got[1:2]), AckDeadlineSeconds: 60,
	})
	require.NoError(t, err)
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, []string{"a", "c"}, bodies(s.pull(t, "sub")), "without back-off, in the order of publishing")
	s.ack(t, "sub", got[1])
}

func TestLostStreamFreesWhatIsNotConfirmed(t *testing.T) {
	s := start(t, pubsub.Options{Clock: newClock()})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := s.subscriber().StreamingPull(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{Subscription: subName("sub"), StreamAckDeadlineSeconds: 60}))
	recvMessages(t, stream, 1)
	cancel()
	next := s.openStream(t, &pubsubpb.StreamingPullRequest{})
	require.Equal(t, []string{"a"}, bodies(recvMessages(t, next, 1)))
}

func TestPullOfGoneClientLeasesNothing(t *testing.T) {
	s := start(t, pubsub.Options{Clock: newClock()})
	s.createSub(t, nil)
	s.publish(t, textMessages("a")...)
	gone := true
	s.emulator.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if gone {
			cancel()
		}
		return handler(ctx, req)
	})
	for range 20 {
		_, err := s.subscriber().Pull(t.Context(), &pubsubpb.PullRequest{Subscription: subName("sub"), MaxMessages: 1})
		wantCode(t, codes.Canceled, err)
	}
	gone = false
	require.Equal(t, []string{"a"}, bodies(s.pull(t, "sub")))
	require.Empty(t, s.pull(t, "sub"), "the message of a successful Pull stays leased")
}
