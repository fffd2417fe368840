package pubsub_test

import (
	"context"
	"net"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestMain(m *testing.M) {
	if dir, ok := childDir(); ok {
		runServerProcess(dir)
		return
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		// Google's client leaves this one waiting for its next tick, 10 s.
		goleak.IgnoreTopFunction("cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"))
}

// service is a server on loopback with Google's client.
type service struct {
	*gcp.Client
	server *pubsub.Server
	grpc   *grpc.Server
	conn   *grpc.ClientConn
}

func start(t testing.TB, o pubsub.Options) *service {
	t.Helper()
	server, err := pubsub.Open(o)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := grpc.NewServer(grpc.MaxRecvMsgSize(pubsub.MaxRequestBytes))
	server.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	s := &service{server: server, grpc: g}
	s.Client, s.conn = dial(t, l.Addr().String())
	t.Cleanup(func() {
		s.stop(t)
		require.NoError(t, <-served)
	})
	return s
}

// stop may be called more than once.
func (s *service) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, s.server.Close())
	_ = s.Client.Close()
	_ = s.conn.Close()
	s.grpc.GracefulStop()
}

func dial(t testing.TB, address string) (*gcp.Client, *grpc.ClientConn) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32<<20)))
	require.NoError(t, err)
	c, err := gcp.NewClient(t.Context(), "p", option.WithGRPCConn(conn))
	require.NoError(t, err)
	return c, conn
}

func (s *service) subscriber() pubsubpb.SubscriberClient { return pubsubpb.NewSubscriberClient(s.conn) }

func (s *service) publisher() pubsubpb.PublisherClient { return pubsubpb.NewPublisherClient(s.conn) }

func topicName(id string) string    { return "projects/p/topics/" + id }
func subName(id string) string      { return "projects/p/subscriptions/" + id }
func snapshotName(id string) string { return "projects/p/snapshots/" + id }

func (s *service) createTopic(t testing.TB, id string) {
	t.Helper()
	_, err := s.publisher().CreateTopic(t.Context(), &pubsubpb.Topic{Name: topicName(id)})
	require.NoError(t, err)
}

// createSub makes a subscription "sub" of the topic "topic", and the topic.
func (s *service) createSub(t testing.TB, config *pubsubpb.Subscription) {
	t.Helper()
	if config == nil {
		config = &pubsubpb.Subscription{}
	}
	s.createTopic(t, "topic")
	s.createSubOnly(t, "sub", config)
}

// attachSub makes one more subscription of "topic".
func (s *service) createSubOnly(t testing.TB, id string, config *pubsubpb.Subscription) {
	t.Helper()
	config.Name, config.Topic = subName(id), topicName("topic")
	_, err := s.subscriber().CreateSubscription(t.Context(), config)
	require.NoError(t, err)
}

func (s *service) publish(t testing.TB, messages ...*pubsubpb.PubsubMessage) []string {
	t.Helper()
	r, err := s.publisher().Publish(t.Context(), &pubsubpb.PublishRequest{Topic: topicName("topic"), Messages: messages})
	require.NoError(t, err)
	return r.MessageIds
}

func textMessages(data ...string) []*pubsubpb.PubsubMessage {
	var out []*pubsubpb.PubsubMessage
	for _, d := range data {
		out = append(out, &pubsubpb.PubsubMessage{Data: []byte(d)})
	}
	return out
}

func keyedMessages(key string, data ...string) []*pubsubpb.PubsubMessage {
	out := textMessages(data...)
	for _, m := range out {
		m.OrderingKey = key
	}
	return out
}

// pull takes what is there now.
func (s *service) pull(t testing.TB, id string) []*pubsubpb.ReceivedMessage {
	t.Helper()
	r, err := s.subscriber().Pull(t.Context(), &pubsubpb.PullRequest{
		Subscription: subName(id), MaxMessages: 1000, ReturnImmediately: true, //nolint:staticcheck // deprecated, and still to be honoured
	})
	require.NoError(t, err)
	return r.ReceivedMessages
}

func (s *service) ack(t testing.TB, id string, messages ...*pubsubpb.ReceivedMessage) {
	t.Helper()
	_, err := s.subscriber().Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: subName(id), AckIds: ackIDs(messages)})
	require.NoError(t, err)
}

func (s *service) nack(t testing.TB, id string, messages ...*pubsubpb.ReceivedMessage) {
	t.Helper()
	_, err := s.subscriber().ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: subName(id), AckIds: ackIDs(messages)})
	require.NoError(t, err)
}

func ackIDs(messages []*pubsubpb.ReceivedMessage) []string {
	var ids []string
	for _, m := range messages {
		ids = append(ids, m.AckId)
	}
	return ids
}

func bodies(messages []*pubsubpb.ReceivedMessage) []string {
	var out []string
	for _, m := range messages {
		out = append(out, string(m.Message.Data))
	}
	return out
}

func wantCode(t testing.TB, want codes.Code, err error) {
	t.Helper()
	require.Equal(t, want.String(), status.Code(err).String(), "%v", err)
}

func withTimeout(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
