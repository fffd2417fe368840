package pubsub

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var errShuttingDown = status.Error(codes.Unavailable, "The service is shutting down.")

// enter counts a call, or refuses it because the server closes. Whoever
// entered calls s.calls.Done.
func (s *Server) beginCall() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errShuttingDown
	}
	s.calls.Add(1)
	return nil
}

// gated makes every method of the service enter first, so that the store stays
// open while it runs, and hides what went wrong inside.
func (s *Server) wrapService(d grpc.ServiceDesc) *grpc.ServiceDesc {
	d.Methods = slices.Clone(d.Methods)
	for i := range d.Methods {
		m := &d.Methods[i]
		handle, name := m.Handler, d.ServiceName+"/"+m.MethodName
		m.Handler = func(srv any, ctx context.Context, decode func(any) error, ic grpc.UnaryServerInterceptor) (any, error) {
			if err := s.beginCall(); err != nil {
				return nil, err
			}
			defer s.calls.Done()
			reply, err := handle(srv, ctx, decode, ic)
			return reply, s.statusError(name, err)
		}
	}
	d.Streams = slices.Clone(d.Streams)
	for i := range d.Streams {
		m := &d.Streams[i]
		handle, name := m.Handler, d.ServiceName+"/"+m.StreamName
		m.Handler = func(srv any, stream grpc.ServerStream) error {
			if err := s.beginCall(); err != nil {
				return err
			}
			defer s.calls.Done()
			return s.statusError(name, handle(srv, stream))
		}
	}
	return &d
}

// public makes an error one for the client: the API's own pass, others are
// logged and become INTERNAL.
func (s *Server) statusError(method string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	s.log.Error("call failed", zap.String("method", method), zap.Error(err))
	return status.Error(codes.Internal, "The service was unable to fulfill your request.")
}
