package pubsub_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// openStream opens a stream with the settings of first.
func (s *service) openStream(t testing.TB, first *pubsubpb.StreamingPullRequest) pubsubpb.Subscriber_StreamingPullClient {
	t.Helper()
	stream, err := s.subscriber().StreamingPull(withTimeout(t, 20*time.Second))
	require.NoError(t, err)
	if first.Subscription == "" {
		first.Subscription = subName("sub")
	}
	if first.StreamAckDeadlineSeconds == 0 {
		first.StreamAckDeadlineSeconds = 60
	}
	require.NoError(t, stream.Send(first))
	return stream
}

// recvMessages receives n messages.
func recvMessages(t testing.TB, stream pubsubpb.Subscriber_StreamingPullClient, n int) []*pubsubpb.ReceivedMessage {
	t.Helper()
	var out []*pubsubpb.ReceivedMessage
	for len(out) < n {
		r, err := stream.Recv()
		require.NoError(t, err)
		out = append(out, r.ReceivedMessages...)
	}
	require.Len(t, out, n)
	return out
}

// recvKeepAlive sends an empty request and expects its reply as the next response: no message was sent before it.
func recvKeepAlive(t testing.TB, stream pubsubpb.Subscriber_StreamingPullClient) {
	t.Helper()
	require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{}))
	r, err := stream.Recv()
	require.NoError(t, err)
	require.Empty(t, bodies(r.ReceivedMessages))
	require.NotNil(t, r.SubscriptionProperties)
}

func TestStreamFlowControlByMessages(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	s.publish(t, textMessages("a", "b", "c", "d", "e")...)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{MaxOutstandingMessages: 2, ProtocolVersion: 1})
	got := recvMessages(t, stream, 2)
	recvKeepAlive(t, stream)
	require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{AckIds: ackIDs(got[:1])}))
	got = append(got[1:], recvMessages(t, stream, 1)...)
	recvKeepAlive(t, stream)
	s.ack(t, "sub", got...)
	recvMessages(t, stream, 2)
	recvKeepAlive(t, stream)
}

func TestStreamFlowControlByBytes(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	s.publish(t, textMessages(strings.Repeat("a", 600), strings.Repeat("b", 600), "c")...)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{MaxOutstandingBytes: 1000, ProtocolVersion: 1})
	got := recvMessages(t, stream, 2)
	recvKeepAlive(t, stream)
	require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{ModifyDeadlineAckIds: ackIDs(got[:1]), ModifyDeadlineSeconds: []int32{0}}))
	recvMessages(t, stream, 1)
}

func TestStreamDeadlines(t *testing.T) {
	c := newClock()
	s := start(t, pubsub.Options{Clock: c})
	s.createSub(t, nil)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{StreamAckDeadlineSeconds: 20, ProtocolVersion: 1})
	s.publish(t, textMessages("a")...)
	first := recvMessages(t, stream, 1)
	c.Advance(19 * time.Second)
	recvKeepAlive(t, stream)
	require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{ModifyDeadlineAckIds: ackIDs(first), ModifyDeadlineSeconds: []int32{30}}))
	recvKeepAlive(t, stream)
	c.Advance(29 * time.Second)
	recvKeepAlive(t, stream)
	c.Advance(time.Second)
	require.Equal(t, []string{"a"}, bodies(recvMessages(t, stream, 1)))
}

func TestStreamConfirmsExactlyOnce(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, &pubsubpb.Subscription{EnableExactlyOnceDelivery: true})
	s.publish(t, textMessages("a", "b")...)
	stream := s.openStream(t, &pubsubpb.StreamingPullRequest{})
	got := recvMessages(t, stream, 2)
	require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{AckIds: ackIDs(got[:1])}))
	require.Empty(t, cmp.Diff(&pubsubpb.StreamingPullResponse_AcknowledgeConfirmation{AckIds: ackIDs(got[:1])},
		recvConfirmation(t, stream).AcknowledgeConfirmation, protocmp.Transform()))
	require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{AckIds: ackIDs(got)}))
	require.Empty(t, cmp.Diff(&pubsubpb.StreamingPullResponse_AcknowledgeConfirmation{AckIds: ackIDs(got[1:]), InvalidAckIds: ackIDs(got[:1])},
		recvConfirmation(t, stream).AcknowledgeConfirmation, protocmp.Transform()))
	require.NoError(t, stream.Send(&pubsubpb.StreamingPullRequest{ModifyDeadlineAckIds: ackIDs(got[:1]), ModifyDeadlineSeconds: []int32{10}}))
	require.Empty(t, cmp.Diff(&pubsubpb.StreamingPullResponse_ModifyAckDeadlineConfirmation{InvalidAckIds: ackIDs(got[:1])},
		recvConfirmation(t, stream).ModifyAckDeadlineConfirmation, protocmp.Transform()))
}

func recvConfirmation(t testing.TB, stream pubsubpb.Subscriber_StreamingPullClient) *pubsubpb.StreamingPullResponse {
	t.Helper()
	r, err := stream.Recv()
	require.NoError(t, err)
	require.True(t, r.SubscriptionProperties.ExactlyOnceDeliveryEnabled)
	return r
}

func TestStreamInvalidRequests(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	for name, c := range map[string]struct {
		first, later *pubsubpb.StreamingPullRequest
		want         codes.Code
	}{
		"no subscription":     {&pubsubpb.StreamingPullRequest{Subscription: "sub"}, nil, codes.InvalidArgument},
		"unknown":             {&pubsubpb.StreamingPullRequest{Subscription: subName("none")}, nil, codes.NotFound},
		"short deadline":      {&pubsubpb.StreamingPullRequest{StreamAckDeadlineSeconds: 9}, nil, codes.InvalidArgument},
		"subscription again":  {&pubsubpb.StreamingPullRequest{}, &pubsubpb.StreamingPullRequest{Subscription: subName("sub")}, codes.InvalidArgument},
		"flow control again":  {&pubsubpb.StreamingPullRequest{}, &pubsubpb.StreamingPullRequest{MaxOutstandingMessages: 1}, codes.InvalidArgument},
		"unequal lists":       {&pubsubpb.StreamingPullRequest{}, &pubsubpb.StreamingPullRequest{ModifyDeadlineSeconds: []int32{1}}, codes.InvalidArgument},
		"malformed ack ID":    {&pubsubpb.StreamingPullRequest{}, &pubsubpb.StreamingPullRequest{AckIds: []string{"x"}}, codes.InvalidArgument},
		"long later deadline": {&pubsubpb.StreamingPullRequest{}, &pubsubpb.StreamingPullRequest{StreamAckDeadlineSeconds: 601}, codes.InvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			stream := s.openStream(t, c.first)
			if c.later != nil {
				require.NoError(t, stream.Send(c.later))
			}
			_, err := stream.Recv()
			wantCode(t, c.want, err)
		})
	}
}

func TestStreamEnds(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	s.createSubOnly(t, "detached", &pubsubpb.Subscription{})

	half := s.openStream(t, &pubsubpb.StreamingPullRequest{})
	require.NoError(t, half.CloseSend())
	_, err := half.Recv()
	require.Equal(t, io.EOF, err)

	detached := s.openStream(t, &pubsubpb.StreamingPullRequest{Subscription: subName("detached"), ProtocolVersion: 1})
	recvKeepAlive(t, detached)
	_, err = s.publisher().DetachSubscription(t.Context(), &pubsubpb.DetachSubscriptionRequest{Subscription: subName("detached")})
	require.NoError(t, err)
	_, err = detached.Recv()
	wantCode(t, codes.FailedPrecondition, err)

	deleted := s.openStream(t, &pubsubpb.StreamingPullRequest{ProtocolVersion: 1})
	recvKeepAlive(t, deleted)
	s.publish(t, textMessages("not confirmed", "nor this")...)
	recvMessages(t, deleted, 2)
	_, err = s.subscriber().DeleteSubscription(t.Context(), &pubsubpb.DeleteSubscriptionRequest{Subscription: subName("sub")})
	require.NoError(t, err)
	_, err = deleted.Recv()
	wantCode(t, codes.NotFound, err)

	s.createSubOnly(t, "sub", &pubsubpb.Subscription{})
	open := s.openStream(t, &pubsubpb.StreamingPullRequest{ProtocolVersion: 1})
	recvKeepAlive(t, open)
	require.NoError(t, s.emulator.Server.Close())
	_, err = open.Recv()
	wantCode(t, codes.Unavailable, err)
	_, err = s.subscriber().Pull(t.Context(), &pubsubpb.PullRequest{Subscription: subName("sub"), MaxMessages: 1})
	wantCode(t, codes.Unavailable, err)
}
