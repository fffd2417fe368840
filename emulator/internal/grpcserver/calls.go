// Package grpcserver wraps the methods of a gRPC service in what both emulators need.
//
// It receives the description of a service, and returns one that counts the calls, converts their errors for clients
// and recovers their panics. The count lets a server close its store after the last call has returned. The package
// knows no particular service and does not listen.
package grpcserver

import (
	"context"
	"errors"
	"slices"
	"sync"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrShuttingDown is the result of every call that arrives after Close.
var ErrShuttingDown = status.Error(codes.Unavailable, "The server is shutting down.")

// errInternal hides the details of an internal error, which are in the log.
var errInternal = status.Error(codes.Internal, "Internal error.")

// Calls counts the calls of one server. It is safe for concurrent use.
type Calls struct {
	log       *zap.Logger
	translate func(error) error
	checks    map[string]func() error // by the name of the method
	closing   chan struct{}

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup
}

// NewCalls returns a counter at zero. The function translate, if it is not nil, gives errors of the server's own
// packages a gRPC status; it returns all others as they are.
func NewCalls(log *zap.Logger, translate func(error) error) *Calls {
	if translate == nil {
		translate = func(err error) error { return err }
	}
	return &Calls{log: log, translate: translate, checks: make(map[string]func() error), closing: make(chan struct{})}
}

// CheckBefore runs check before each call of these unary methods, and fails the call with its error. The caller calls
// it before Wrap.
func (c *Calls) CheckBefore(check func() error, methods ...string) {
	for _, m := range methods {
		c.checks[m] = check
	}
}

// Begin counts a call, or refuses it after Close. The caller calls End when the call has returned.
func (c *Calls) Begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrShuttingDown
	}
	c.active.Add(1)
	return nil
}

// End undoes one Begin.
func (c *Calls) End() { c.active.Done() }

// Closing is closed when the server shuts down. Streams, and calls that wait for something, then return
// ErrShuttingDown.
func (c *Calls) Closing() <-chan struct{} { return c.closing }

// Close refuses further calls and returns when the last active call has ended.
func (c *Calls) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.closing)
	}
	c.mu.Unlock()
	c.active.Wait()
}

// Wrap returns the service with all its methods counted, their panics recovered and their errors converted by Status.
func (c *Calls) Wrap(d grpc.ServiceDesc) *grpc.ServiceDesc {
	d.Methods = slices.Clone(d.Methods)
	for i := range d.Methods {
		m := &d.Methods[i]
		handle, check, name := m.Handler, c.checks[m.MethodName], d.ServiceName+"/"+m.MethodName
		m.Handler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			if err := c.Begin(); err != nil {
				return nil, err
			}
			defer c.End()
			var reply any
			err := c.Recover(name, func() (err error) {
				if check != nil {
					if err := check(); err != nil {
						return err
					}
				}
				reply, err = handle(srv, ctx, decode, interceptor)
				return err
			})
			return reply, c.Status(name, err)
		}
	}
	d.Streams = slices.Clone(d.Streams)
	for i := range d.Streams {
		s := &d.Streams[i]
		handle, name := s.Handler, d.ServiceName+"/"+s.StreamName
		s.Handler = func(srv any, stream grpc.ServerStream) error {
			if err := c.Begin(); err != nil {
				return err
			}
			defer c.End()
			return c.Status(name, c.Recover(name, func() error { return handle(srv, stream) }))
		}
	}
	return &d
}

// Recover returns the result of f. If f panics, it logs the panic and returns an INTERNAL error: the panic ends the
// call that caused it and not the process. A goroutine that a call starts needs a Recover of its own.
func (c *Calls) Recover(method string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("call panicked", zap.String("method", method), zap.Any("panic", p), zap.Stack("stack"))
			err = errInternal
		}
	}()
	return f()
}

// Status returns the error to send to the client. An error that has a gRPC status stays as it is; an internal error
// is logged and becomes INTERNAL without its details.
func (c *Calls) Status(method string, err error) error {
	if err == nil {
		return nil
	}
	err = c.translate(err)
	if _, ok := status.FromError(err); ok {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return status.FromContextError(err).Err()
	}
	c.log.Error("call failed", zap.String("method", method), zap.Error(err))
	return errInternal
}
