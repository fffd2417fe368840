package pubsub_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/emulator/internal/crashtest"
	"github.com/airlock-run/airlock/emulator/pubsub"
)

func TestMain(m *testing.M) {
	crashtest.ServeInChild(func(dir string) (*pubsub.Server, error) {
		return pubsub.Open(pubsub.Options{Dir: dir})
	})
	emulatortest.Main(m)
}

func newClock() *emulatortest.Clock {
	return emulatortest.NewFrozenClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
}

// service is a Pub/Sub service with Google's client, and a connection for requests that the client does not send.
type service struct {
	*gcp.Client
	emulator *emulatortest.PubSub // nil for a service in another process and for pstest
	conn     *grpc.ClientConn
	stop     func() // closes the clients and the service; may be called again
}

// start runs an emulator until the test ends or calls stop.
func start(t testing.TB, o pubsub.Options) *service {
	t.Helper()
	e := emulatortest.StartPubSub(t, o)
	s := connect(t, e.Address(), e.Close)
	s.emulator = e
	return s
}

// connect returns a service that listens on the address. stop and the end of the test call stopService.
func connect(t testing.TB, address string, stopService func()) *service {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(32<<20)))
	require.NoError(t, err)
	s := &service{conn: conn}
	s.Client, err = gcp.NewClient(t.Context(), "p", option.WithGRPCConn(conn))
	require.NoError(t, err)
	s.stop = sync.OnceFunc(func() {
		stopService()
		_ = s.Client.Close()
		_ = conn.Close()
	})
	t.Cleanup(s.stop)
	return s
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

// createSub creates the topic "topic" and its subscription "sub".
func (s *service) createSub(t testing.TB, config *pubsubpb.Subscription) {
	t.Helper()
	if config == nil {
		config = &pubsubpb.Subscription{}
	}
	s.createTopic(t, "topic")
	s.createSubOnly(t, "sub", config)
}

// createSubOnly creates another subscription of "topic".
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

// numberedMessages returns n messages with the data "0", "1" and so on.
func numberedMessages(n int) []*pubsubpb.PubsubMessage {
	var out []*pubsubpb.PubsubMessage
	for i := range n {
		out = append(out, &pubsubpb.PubsubMessage{Data: fmt.Append(nil, i)})
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

// pull leases the waiting messages and does not wait for others.
func (s *service) pull(t testing.TB, id string) []*pubsubpb.ReceivedMessage {
	t.Helper()
	r, err := s.subscriber().Pull(t.Context(), &pubsubpb.PullRequest{
		Subscription: subName(id), MaxMessages: 1000, ReturnImmediately: true, //nolint:staticcheck // deprecated, but clients still use it
	})
	require.NoError(t, err)
	return r.ReceivedMessages
}

func (s *service) ack(t testing.TB, id string, messages ...*pubsubpb.ReceivedMessage) {
	t.Helper()
	require.NoError(t, s.tryAck(t, id, ackIDs(messages)...))
}

func (s *service) nack(t testing.TB, id string, messages ...*pubsubpb.ReceivedMessage) {
	t.Helper()
	require.NoError(t, s.tryNack(t, id, ackIDs(messages)...))
}

func (s *service) tryAck(t testing.TB, id string, ackIDs ...string) error {
	t.Helper()
	_, err := s.subscriber().Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: subName(id), AckIds: ackIDs})
	return err
}

func (s *service) tryNack(t testing.TB, id string, ackIDs ...string) error {
	t.Helper()
	_, err := s.subscriber().ModifyAckDeadline(t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: subName(id), AckIds: ackIDs})
	return err
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
