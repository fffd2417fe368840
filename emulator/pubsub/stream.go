package pubsub

import (
	"errors"
	"io"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
)

// stream is one StreamingPull. Its handler sends; a goroutine receives.
type stream struct {
	s      *Server
	sub    *broker.Subscription
	reader *broker.Reader
	grpc   pubsubpb.Subscriber_StreamingPullServer

	repliesToKeepAlive bool
	receiveErr         chan error // gets why receiving ended

	mu           sync.Mutex
	replies      []*pubsubpb.StreamingPullResponse // to requests, not sent yet
	repliesReady chan struct{}                     // holds a token while there are any

	sentProperties properties // last told to the client
}

// properties of the subscription that a client adapts to.
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
		repliesReady:       make(chan struct{}, 1),
	}
	if err := st.handleRequest(first); err != nil {
		return err
	}
	// Receiving ends only after this handler returned, so it is the server
	// that waits for it, in Close.
	if err := s.s.beginCall(); err != nil {
		return err
	}
	go func() {
		defer s.s.calls.Done()
		st.receiveErr <- st.receive()
	}()
	return st.send()
}

// send is the sending half. It returns when either half has ended.
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
		case <-st.s.ctx.Done():
			return errShuttingDown
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

// write sends a response with the subscription's properties, which clients
// expect in every one.
func (st *stream) sendResponse(r *pubsubpb.StreamingPullResponse) error {
	st.sentProperties = st.properties()
	r.SubscriptionProperties = &pubsubpb.StreamingPullResponse_SubscriptionProperties{
		ExactlyOnceDeliveryEnabled: st.sentProperties.exactlyOnce,
		MessageOrderingEnabled:     st.sentProperties.ordered,
	}
	return st.grpc.Send(r)
}

func (st *stream) properties() properties {
	c := st.sub.Config()
	return properties{c.EnableExactlyOnceDelivery, c.EnableMessageOrdering}
}
