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

	answersPings bool
	received     chan error // gets why receiving ended

	mu      sync.Mutex
	replies []*pubsubpb.StreamingPullResponse // to requests, not sent yet
	replied chan struct{}                     // holds a token while there are any

	told properties // last told to the client
}

// properties of the subscription that a client adapts to.
type properties struct{ exactlyOnce, ordered bool }

func (s *subscriber) StreamingPull(g pubsubpb.Subscriber_StreamingPullServer) error {
	first, err := g.Recv()
	if err != nil {
		return err
	}
	sub, err := s.find(first.Subscription)
	if err != nil {
		return err
	}
	if err := checkFirst(first); err != nil {
		return err
	}
	r, err := sub.NewReader(int(max(first.MaxOutstandingMessages, 0)), int(max(first.MaxOutstandingBytes, 0)))
	if err != nil {
		return err
	}
	defer r.Close()
	st := &stream{
		s:            s.s,
		sub:          sub,
		reader:       r,
		grpc:         g,
		answersPings: first.ProtocolVersion >= 1,
		received:     make(chan error, 1),
		replied:      make(chan struct{}, 1),
	}
	if err := st.apply(first); err != nil {
		return err
	}
	// Receiving ends only after this handler returned, so it is the server
	// that waits for it, in Close.
	if err := s.s.enter(); err != nil {
		return err
	}
	go func() {
		defer s.s.calls.Done()
		st.received <- st.receive()
	}()
	return st.send()
}

// send is the sending half. It returns when either half has ended.
func (st *stream) send() error {
	for {
		var err error
		select {
		case <-st.reader.Ready():
			err = st.deliver()
		case <-st.replied:
			err = st.reply()
		case <-st.reader.Ended():
			_, err = st.reader.Take(1)
		case err = <-st.received:
			if errors.Is(err, io.EOF) {
				return st.reply()
			}
		case <-st.s.ctx.Done():
			return errClosing
		}
		if err != nil {
			return err
		}
	}
}

func (st *stream) deliver() error {
	messages, err := st.reader.Take(streamBatch)
	if err != nil {
		return err
	}
	if len(messages) == 0 && st.properties() == st.told {
		return nil
	}
	return st.write(&pubsubpb.StreamingPullResponse{ReceivedMessages: messages})
}

func (st *stream) reply() error {
	st.mu.Lock()
	replies := st.replies
	st.replies = nil
	st.mu.Unlock()
	for _, r := range replies {
		if err := st.write(r); err != nil {
			return err
		}
	}
	return nil
}

// write sends a response with the subscription's properties, which clients
// expect in every one.
func (st *stream) write(r *pubsubpb.StreamingPullResponse) error {
	st.told = st.properties()
	r.SubscriptionProperties = &pubsubpb.StreamingPullResponse_SubscriptionProperties{
		ExactlyOnceDeliveryEnabled: st.told.exactlyOnce,
		MessageOrderingEnabled:     st.told.ordered,
	}
	return st.grpc.Send(r)
}

func (st *stream) properties() properties {
	c := st.sub.Config()
	return properties{c.EnableExactlyOnceDelivery, c.EnableMessageOrdering}
}
