package pubsub

import (
	"errors"
	"io"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/airlock-run/airlock/emulator/internal/grpcserver"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
	"github.com/airlock-run/airlock/emulator/internal/signal"
)

// stream is one StreamingPull. The handler sends; another goroutine receives.
type stream struct {
	s      *Server
	sub    *broker.Subscription
	reader *broker.Reader
	grpc   pubsubpb.Subscriber_StreamingPullServer

	repliesToKeepAlive bool
	receiveErr         chan error // receives the reason why receiving has ended

	mu           sync.Mutex
	replies      []*pubsubpb.StreamingPullResponse // replies to requests, not sent yet
	repliesReady signal.Signal                     // while there are replies

	sentProperties properties // in the newest response
}

// properties are the settings of the subscription that change the behaviour of a client.
type properties struct{ exactlyOnce, ordered bool }

func (s *subscriber) StreamingPull(g pubsubpb.Subscriber_StreamingPullServer) error {
	first, err := g.Recv()
	if err != nil {
		return err
	}
	sub, err := s.findSubscription(first.Subscription)
	if err != nil {
		return err
	}
	if err := checkInitialRequest(first); err != nil {
		return err
	}
	r, err := sub.NewReader(int(max(first.MaxOutstandingMessages, 0)), int(max(first.MaxOutstandingBytes, 0)))
	if err != nil {
		return err
	}
	defer r.Close()
	st := &stream{
		s:                  s.s,
		sub:                sub,
		reader:             r,
		grpc:               g,
		repliesToKeepAlive: first.ProtocolVersion >= 1,
		receiveErr:         make(chan error, 1),
		repliesReady:       signal.New(),
	}
	if err := st.handleRequest(first); err != nil {
		return err
	}
	// Receiving ends only after this handler has returned, so the handler cannot wait for the goroutine: Close of
	// the server does.
	if err := s.s.calls.Begin(); err != nil {
		return err
	}
	go func() {
		defer s.s.calls.End()
		st.receiveErr <- s.s.calls.Recover("StreamingPull requests", st.receive)
	}()
	return st.send()
}

// send sends messages and replies until sending or receiving has ended.
func (st *stream) send() error {
	for {
		var err error
		select {
		case <-st.reader.Ready():
			err = st.sendMessages()
		case <-st.repliesReady:
			err = st.sendReplies()
		case <-st.reader.Done():
			_, err = st.reader.Pull(1)
		case err = <-st.receiveErr:
			if errors.Is(err, io.EOF) {
				return st.sendReplies()
			}
		case <-st.s.calls.Closing():
			return grpcserver.ErrShuttingDown
		}
		if err != nil {
			return err
		}
	}
}

func (st *stream) sendMessages() error {
	messages, err := st.reader.Pull(streamBatchSize)
	if err != nil {
		return err
	}
	if len(messages) == 0 && st.properties() == st.sentProperties {
		return nil
	}
	return st.sendResponse(&pubsubpb.StreamingPullResponse{ReceivedMessages: messages})
}

func (st *stream) sendReplies() error {
	st.mu.Lock()
	replies := st.replies
	st.replies = nil
	st.mu.Unlock()
	for _, r := range replies {
		if err := st.sendResponse(r); err != nil {
			return err
		}
	}
	return nil
}

// sendResponse sends a response. Clients expect the subscription's properties in every response.
func (st *stream) sendResponse(r *pubsubpb.StreamingPullResponse) error {
	st.sentProperties = st.properties()
	r.SubscriptionProperties = &pubsubpb.StreamingPullResponse_SubscriptionProperties{
		ExactlyOnceDeliveryEnabled: st.sentProperties.exactlyOnce,
		MessageOrderingEnabled:     st.sentProperties.ordered,
	}
	st.reader.Pause() // Send waits while the client does not read
	return st.grpc.Send(r)
}

func (st *stream) properties() properties {
	c := st.sub.Config()
	return properties{c.EnableExactlyOnceDelivery, c.EnableMessageOrdering}
}
