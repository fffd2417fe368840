package emulator

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// maxMessageBytes is the maximum size of a request or reply. Pub/Sub allows messages of 10 MB, Firestore requests of
// 10 MiB; the rest is for what surrounds them.
const maxMessageBytes = 16 << 20

// streamWorkers is the number of goroutines that gRPC reuses for calls; calls beyond them get new goroutines. A new
// goroutine grows its stack several times during a call, which was 5 % of the CPU time of a load test.
const streamWorkers = 128

// Service is one of the emulators: *pubsub.Server or *firestore.Server.
type Service interface {
	// Register adds the service to a gRPC server.
	Register(grpc.ServiceRegistrar)
	// Close ends the streams, waits for the active calls and for the disk, and unlocks the folder. It may be called
	// again.
	Close() error
}

// NewServer returns a gRPC server with the service, the health service and server reflection. Its limits suit both
// emulators. Before GracefulStop the caller closes the service, because GracefulStop waits for open streams.
func NewServer(s Service, options ...grpc.ServerOption) *grpc.Server {
	g := grpc.NewServer(append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessageBytes),
		grpc.MaxSendMsgSize(maxMessageBytes),
		grpc.NumStreamWorkers(streamWorkers),
	}, options...)...)
	s.Register(g)
	grpc_health_v1.RegisterHealthServer(g, health.NewServer())
	reflection.Register(g)
	return g
}
