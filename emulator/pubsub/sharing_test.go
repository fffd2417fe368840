package pubsub_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	gcp "cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/pubsub"
)

// slowClient is a client of "sub" that holds its messages until they are released.
type slowClient struct {
	received chan *gcp.Message
	held     []*gcp.Message
}

func (s *service) startSlowClient(t *testing.T, maxMessages int) *slowClient {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c := &slowClient{received: make(chan *gcp.Message, 1000)}
	done := make(chan error, 1)
	sub := s.Subscriber(subName("sub"))
	sub.ReceiveSettings.MaxOutstandingMessages = maxMessages
	sub.ReceiveSettings.NumGoroutines = 1
	go func() {
		done <- sub.Receive(ctx, func(_ context.Context, m *gcp.Message) { c.received <- m })
	}()
	t.Cleanup(func() {
		cancel()
		for _, m := range c.held { // Receive waits for them
			m.Nack()
		}
		for {
			select {
			case m := <-c.received:
				m.Nack()
			case err := <-done:
				require.NoError(t, err)
				return
			}
		}
	})
	return c
}

// receiveAll receives n messages with the clients together and returns those of each.
func receiveAll(t *testing.T, clients []*slowClient, n int) [][]*gcp.Message {
	t.Helper()
	out := make([][]*gcp.Message, len(clients))
	type received struct {
		client int
		m      *gcp.Message
	}
	all := make(chan received)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for {
				select {
				case m := <-c.received:
					select {
					case all <- received{i, m}:
					case <-ctx.Done():
						m.Nack()
					}
				case <-ctx.Done():
					return
				}
			}
		})
	}
	for range n {
		r := <-all
		out[r.client] = append(out[r.client], r.m)
		clients[r.client].held = append(clients[r.client].held, r.m)
	}
	cancel()
	wg.Wait()
	return out
}

func TestClientsShareMessages(t *testing.T) {
	for _, n := range []int{2, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := start(t, pubsub.Options{})
			s.createSub(t, nil)
			var clients []*slowClient
			for range n {
				clients = append(clients, s.startSlowClient(t, 1000))
			}
			// In the first rounds some streams may not be open yet, and a stream that is busy has no share.
			const each, rounds = 5, 50
			for range rounds {
				s.publish(t, numberedMessages(n*each)...)
				even := true
				for _, messages := range receiveAll(t, clients, n*each) {
					even = even && len(messages) == each
					for _, m := range messages {
						m.Ack()
					}
				}
				if even {
					return
				}
			}
			require.Fail(t, "the clients never had equal shares")
		})
	}
}

func TestClientsShareWithinTheirLimits(t *testing.T) {
	for _, n := range []int{2, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := start(t, pubsub.Options{})
			s.createSub(t, nil)
			const limit, rest = 10, 5
			clients := []*slowClient{s.startSlowClient(t, limit)}
			s.publish(t, numberedMessages(n*limit+rest)...)
			held := receiveAll(t, clients, limit)
			for range n - 1 { // they join late
				c := s.startSlowClient(t, limit)
				held = append(held, receiveAll(t, []*slowClient{c}, limit)...)
				clients = append(clients, c)
			}
			waiting := s.pull(t, "sub")
			require.Len(t, waiting, rest, "no client has more than its limit")
			s.nack(t, "sub", waiting...)

			held[0][0].Ack()
			require.Len(t, receiveAll(t, clients, 1)[0], 1, "only the first client has room")
		})
	}
}

func TestStreamsShareWithinTheirLimits(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	byBytes := s.openStream(t, &pubsubpb.StreamingPullRequest{MaxOutstandingBytes: 1000, ProtocolVersion: 1})
	byMessages := s.openStream(t, &pubsubpb.StreamingPullRequest{MaxOutstandingMessages: 3, ProtocolVersion: 1})
	recvKeepAlive(t, byBytes)
	recvKeepAlive(t, byMessages)
	var messages []*pubsubpb.PubsubMessage
	for range 10 {
		messages = append(messages, &pubsubpb.PubsubMessage{Data: []byte(strings.Repeat("x", 600))})
	}
	s.publish(t, messages...)
	recvMessages(t, byBytes, 2)
	recvMessages(t, byMessages, 3)
	recvKeepAlive(t, byBytes)
	recvKeepAlive(t, byMessages)
	require.Len(t, s.pull(t, "sub"), 5)
}

// A client that does not read its stream gets no share while the server waits to send: the other one gets the messages.
func TestStuckStreamDoesNotStarveOthers(t *testing.T) {
	s := start(t, pubsub.Options{})
	s.createSub(t, nil)
	stuck := s.openStream(t, &pubsubpb.StreamingPullRequest{})
	s.publish(t, textMessages(strings.Repeat("x", 1<<20))...) // more than the window of a stream
	_, err := stuck.Header()
	require.NoError(t, err, "the server has sent the message to the connection, which is full now")

	other := s.openStream(t, &pubsubpb.StreamingPullRequest{})
	for range 3 {
		s.publish(t, numberedMessages(10)...)
	}
	for got := 0; got < 20; { // the first stream may get its share of one batch
		r, err := other.Recv()
		require.NoError(t, err)
		got += len(r.ReceivedMessages)
	}
}
