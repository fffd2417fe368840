package firestore

import (
	"context"
	"sync"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// gate counts the calls under way, so that the store closes after the last of them and no call finds it closed.
type callTracker struct {
	closing chan struct{} // closed when calls should come to an end

	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup
}

func newCallTracker() *callTracker { return &callTracker{closing: make(chan struct{})} }

func (g *callTracker) begin() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return status.Error(codes.Unavailable, "The server is closing.")
	}
	g.wg.Add(1)
	return nil
}

// close lets no more calls in and returns when the last has left. It may be called again.
func (g *callTracker) drain() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.closing)
	}
	g.mu.Unlock()
	g.wg.Wait()
}

// Register adds the service to a gRPC server. Every call passes the gate, and leaves with an error meant for clients.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	desc := pb.Firestore_ServiceDesc
	desc.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
	for i, m := range desc.Methods {
		desc.Methods[i].Handler = func(srv any, ctx context.Context, dec func(any) error, in grpc.UnaryServerInterceptor) (any, error) {
			if err := s.calls.begin(); err != nil {
				return nil, err
			}
			defer s.calls.wg.Done()
			out, err := m.Handler(srv, ctx, dec, in)
			return out, s.statusError(err)
		}
	}
	desc.Streams = append([]grpc.StreamDesc(nil), desc.Streams...)
	for i, m := range desc.Streams {
		desc.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
			if err := s.calls.begin(); err != nil {
				return err
			}
			defer s.calls.wg.Done()
			return s.statusError(m.Handler(srv, stream))
		}
	}
	r.RegisterService(&desc, s)
}
