package grpcserver_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/grpcserver"
)

func TestStatus(t *testing.T) {
	errOwn := errors.New("own")
	c := grpcserver.NewCalls(zap.NewNop(), func(err error) error {
		if errors.Is(err, errOwn) {
			return status.Error(codes.FailedPrecondition, "translated")
		}
		return err
	})
	require.NoError(t, c.Status("m", nil))
	for _, tt := range []struct {
		err  error
		want codes.Code
	}{
		{status.Error(codes.NotFound, "missing"), codes.NotFound},
		{fmt.Errorf("wrapped: %w", errOwn), codes.FailedPrecondition},
		{fmt.Errorf("wrapped: %w", context.Canceled), codes.Canceled},
		{context.DeadlineExceeded, codes.DeadlineExceeded},
		{errors.New("secret path"), codes.Internal},
	} {
		got := c.Status("m", tt.err)
		require.Equal(t, tt.want, status.Code(got), "%v", tt.err)
		require.NotContains(t, got.Error(), "secret")
	}
}

func TestCloseWaitsForActiveCallsAndRefusesLaterOnes(t *testing.T) {
	c := grpcserver.NewCalls(zap.NewNop(), nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	desc := c.Wrap(grpc.ServiceDesc{ServiceName: "s", Methods: []grpc.MethodDesc{{
		MethodName: "m",
		Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
			close(entered)
			<-leave
			return "reply", nil
		},
	}}})
	call := func() (any, error) { return desc.Methods[0].Handler(nil, t.Context(), nil, nil) }
	var reply any
	returned, closed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(returned)
		reply, _ = call()
	}()
	<-entered
	go func() {
		defer close(closed)
		c.Close()
	}()
	<-c.Closing()
	_, err := call()
	require.ErrorIs(t, err, grpcserver.ErrShuttingDown)
	select {
	case <-closed:
		require.Fail(t, "Close returned before the active call")
	default:
	}
	close(leave)
	<-returned
	<-closed
	require.Equal(t, "reply", reply)
	c.Close()
}

func TestPanicEndsOnlyItsCall(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	c := grpcserver.NewCalls(zap.New(core), nil)
	panics := true
	handle := func() error {
		if panics {
			panic("secret")
		}
		return nil
	}
	desc := c.Wrap(grpc.ServiceDesc{
		ServiceName: "s",
		Methods: []grpc.MethodDesc{{
			MethodName: "m",
			Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
				return nil, handle()
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName: "st",
			Handler:    func(any, grpc.ServerStream) error { return handle() },
		}},
	})
	calls := map[string]func() error{
		"s/m": func() error {
			_, err := desc.Methods[0].Handler(nil, t.Context(), nil, nil)
			return err
		},
		"s/st": func() error { return desc.Streams[0].Handler(nil, nil) },
	}
	for method, call := range calls {
		panics = true
		err := call()
		require.Equal(t, codes.Internal, status.Code(err), method)
		require.NotContains(t, err.Error(), "secret")
		logged := logs.TakeAll()
		require.Len(t, logged, 1)
		fields := logged[0].ContextMap()
		require.Equal(t, method, fields["method"])
		require.Equal(t, "secret", fields["panic"])
		require.Contains(t, fields["stack"], "TestPanicEndsOnlyItsCall")

		panics = false
		require.NoError(t, call(), method)
	}
	c.Close() // returns only if the panics were counted as ended
}

func TestCheckBefore(t *testing.T) {
	c := grpcserver.NewCalls(zap.NewNop(), nil)
	refused := status.Error(codes.ResourceExhausted, "full")
	c.CheckBefore(func() error { return refused }, "write")
	handled := map[string]int{}
	method := func(name string) grpc.MethodDesc {
		return grpc.MethodDesc{
			MethodName: name,
			Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
				handled[name]++
				return nil, nil
			},
		}
	}
	desc := c.Wrap(grpc.ServiceDesc{ServiceName: "s", Methods: []grpc.MethodDesc{method("read"), method("write")}})
	call := func(i int) error {
		_, err := desc.Methods[i].Handler(nil, t.Context(), nil, nil)
		return err
	}
	require.NoError(t, call(0))
	require.Equal(t, codes.ResourceExhausted, status.Code(call(1)))
	refused = nil
	require.NoError(t, call(1))
	require.Equal(t, map[string]int{"read": 1, "write": 1}, handled)
}
