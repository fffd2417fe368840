// Package pubsub is an embedded Pub/Sub: a google.pubsub.v1 server for Google's client libraries, which keeps its
// data in one folder.
//
// It receives gRPC calls and returns replies and streams of messages. A publish returns when the messages are on disk.
// The package does not listen, and never checks credentials: the caller registers the server with a grpc.Server.
// Package emulator runs it in a program, package emulatortest in a Go test.
//
//	server, err := pubsub.Open(pubsub.Options{Dir: "data"})
//	g := emulator.NewServer(server)
//	err = g.Serve(listener)
//	...
//	err = server.Close() // first: it ends the streams
//	g.GracefulStop()
//
// This package checks the requests and handles the streams. The packages below emulator/internal/pubsub do the rest:
//
//	resource  names of resources
//	filter    the filter language
//	backlog   the state machine of one subscription's messages
//	store     records on disk
//	broker    topics, subscriptions and snapshots, without the API
package pubsub

import (
	"errors"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/internal/grpcserver"
	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
)

type (
	// Clock is the source of time of a server. It must be safe for concurrent use.
	Clock = broker.Clock
	// Timer is a pending call of Clock.AfterFunc. *time.Timer implements it.
	Timer = broker.Timer
)

// Options are the settings of a server. The zero value is a server in memory.
type Options struct {
	Dir    string      // of the data; "" means in memory
	Logger *zap.Logger // nil discards everything
	Clock  Clock       // nil means the machine's clock
	// Create names topics and subscriptions that exist from the start, as an operator makes them. Existing ones stay as
	// they are.
	Create Resources
	// DenyAdmin refuses every call that creates, reads, changes, lists or deletes topics, subscriptions and snapshots,
	// with PERMISSION_DENIED: what a client gets in the cloud that may only publish and subscribe.
	DenyAdmin bool
}

// Server implements the services Publisher and Subscriber. It is safe for concurrent use.
type Server struct {
	broker *broker.Broker
	calls  *grpcserver.Calls // includes the goroutines of streams
	close  func() error
}

// Open opens the folder, which only one server at a time can use. If the folder cannot be used, the error is one
// of those that package emulator names: *emulator.LockedError, *emulator.KindError, *emulator.VersionError or
// *emulator.CorruptError; *emulator.FullError if the disk is full.
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
	s := &Server{broker: b, calls: grpcserver.NewCalls(o.Logger, diskFull)}
	s.calls.CheckBefore(b.CheckSpace, writingMethods...)
	s.close = sync.OnceValue(func() error {
		s.calls.Close()
		return b.Close()
	})
	if err := s.create(o.Create); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.DenyAdmin {
		s.calls.CheckBefore(denyAdmin, adminMethods...)
	}
	return s, nil
}

// writingMethods are refused while the disk is full, before they change anything. The others work.
var writingMethods = []string{
	"CreateTopic", "UpdateTopic", "DeleteTopic", "Publish", "DetachSubscription",
	"CreateSubscription", "UpdateSubscription", "DeleteSubscription", "Acknowledge", "Seek",
	"CreateSnapshot", "UpdateSnapshot", "DeleteSnapshot",
}

// Register adds the services to a grpc.Server, which must accept requests of 12 MiB: a message has up to 10 MiB, and
// gRPC allows 4 MiB by default. emulator.NewServer returns such a server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(s.calls.Wrap(pubsubpb.Publisher_ServiceDesc), &publisher{s: s})
	r.RegisterService(s.calls.Wrap(pubsubpb.Subscriber_ServiceDesc), &subscriber{s: s})
	r.RegisterService(s.calls.Wrap(pubsubpb.SchemaService_ServiceDesc), &pubsubpb.UnimplementedSchemaServiceServer{})
}

// Close ends all streams, waits for the active calls, and flushes and unlocks the folder. Later calls get
// UNAVAILABLE. Close may be called again; it returns the same error.
func (s *Server) Close() error { return s.close() }
