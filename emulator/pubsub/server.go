// Package pubsub is an embedded Pub/Sub: a google.pubsub.v1 server for
// Google's own clients that keeps its data in a directory.
//
//	backlog   the state machine of one subscription's messages
//	filter    the filter language
//	resource  names
//	store     records on disk
//	broker    topics, subscriptions and snapshots, without the API
//
// This package is the API: what requests must look like, and the streams.
package pubsub

import (
	"context"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
)

// MaxRequestBytes is the size of request a grpc.Server needs to accept
// (grpc.MaxRecvMsgSize) so that the largest allowed message gets through.
const MaxRequestBytes = 12 << 20

// Clock is the time the server goes by.
type Clock = broker.Clock

// Options are the settings of a server. The zero value is a server in memory.
type Options struct {
	Dir    string      // of the data; "" keeps it in memory
	Logger *zap.Logger // nil logs nothing
	Clock  Clock       // nil is the machine's
}

// Server is a Pub/Sub service. It lives from Open to Close.
type Server struct {
	broker *broker.Broker
	log    *zap.Logger

	// stop ends the streams and whoever waits for messages.
	ctx  context.Context
	stop context.CancelCauseFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // under way, and the goroutines of streams
}

// Open opens the directory, which one server at a time can use.
func Open(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Clock == nil {
		o.Clock = broker.SystemClock{}
	}
	b, err := broker.Open(o.Dir, o.Clock, o.Logger)
	if err != nil {
		return nil, err
	}
	s := &Server{broker: b, log: o.Logger}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	return s, nil
}

// Register adds the services to a grpc.Server. Requests above 4 MiB need it to
// have MaxRequestBytes.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(s.wrapService(pubsubpb.Publisher_ServiceDesc), &publisher{s: s})
	r.RegisterService(s.wrapService(pubsubpb.Subscriber_ServiceDesc), &subscriber{s: s})
	r.RegisterService(s.wrapService(pubsubpb.SchemaService_ServiceDesc), &pubsubpb.UnimplementedSchemaServiceServer{})
}

// Close ends all streams, waits for the calls under way, and flushes and
// releases the directory. Later calls get UNAVAILABLE.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.stop(errShuttingDown)
	s.calls.Wait()
	return s.broker.Close()
}
