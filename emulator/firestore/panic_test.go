package firestore

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/field"
	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// openInMemory returns a server, and what it logs as an error.
func openInMemory(t *testing.T, o Options) (*Server, *observer.ObservedLogs) {
	t.Helper()
	core, logged := observer.New(zapcore.ErrorLevel)
	o.Logger = zap.New(core)
	s, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s, logged
}

// brokenStream is a stream whose Recv panics, or whose Send does.
type brokenStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (b brokenStream) Context() context.Context { return b.ctx }
func (b brokenStream) SendMsg(any) error        { panic("send") }
func (b brokenStream) RecvMsg(any) error        { panic("receive") }

// handlers collects the methods that the server registers.
type handlers struct{ desc *grpc.ServiceDesc }

func (h *handlers) RegisterService(d *grpc.ServiceDesc, _ any) { h.desc = d }

// A panic ends the call that caused it, unary or streaming, and not the process.
func TestPanicEndsItsCall(t *testing.T) {
	s, logged := openInMemory(t, Options{})
	var h handlers
	s.Register(&h)
	for _, m := range h.desc.Methods {
		_, err := m.Handler(s, t.Context(), func(any) error { panic(m.MethodName) }, nil)
		require.Equal(t, codes.Internal, status.Code(err), m.MethodName)
	}
	for _, m := range h.desc.Streams {
		err := m.Handler(s, brokenStream{ctx: t.Context()})
		require.NotEqual(t, codes.OK, status.Code(orEOF(err)), m.StreamName)
	}
	require.GreaterOrEqual(t, logged.FilterMessage("call panicked").Len(), len(h.desc.Methods)+1)
	_, err := s.BeginTransaction(t.Context(), &pb.BeginTransactionRequest{Database: "projects/p/databases/(default)"})
	require.NoError(t, err, "the server works")
}

// orEOF returns an error also for a stream that has ended without one, as Listen does when it receives nothing more.
func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// The janitor runs again after a panic, and its other steps run.
func TestPanicInJanitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		s, logged := openInMemory(t, Options{Now: func() time.Time {
			if broken.Load() {
				panic("clock")
			}
			return time.Now()
		}})
		s.ttlFields["c"] = field.Path{"expiry"}
		_, err := s.commitAsync(name.Database{Project: "p", ID: "(default)"}, &pb.Write{Operation: &pb.Write_Update{Update: &pb.Document{
			Name: "projects/p/databases/(default)/documents/c/d"}}})
		require.NoError(t, err)
		broken.Store(true)
		for runs := range 2 {
			time.Sleep(janitorInterval)
			synctest.Wait()
			require.Len(t, logged.FilterMessage("the janitor failed").All(), 3*(runs+1), "three steps need the clock")
		}
		broken.Store(false)
		time.Sleep(janitorInterval)
		synctest.Wait()
		require.Len(t, logged.FilterMessage("the janitor failed").All(), 6)
	})
}

// If a commit cannot be passed on, the listeners start again instead of missing it.
func TestPanicInPublish(t *testing.T) {
	s, logged := openInMemory(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := &listenStream{ctx: ctx, requests: make(chan *pb.ListenRequest, 1), responses: make(chan *pb.ListenResponse, 10)}
	ended := make(chan error, 1)
	go func() { ended <- s.Listen(stream) }()
	stream.requests <- &pb.ListenRequest{Database: "projects/p/databases/(default)", TargetChange: &pb.ListenRequest_AddTarget{AddTarget: &pb.Target{
		TargetId: 1, TargetType: &pb.Target_Documents{Documents: &pb.Target_DocumentsTarget{Documents: []string{"projects/p/databases/(default)/documents/c/d"}}}}}}
	for r := range stream.responses {
		if r.GetTargetChange().GetTargetChangeType() == pb.TargetChange_NO_CHANGE {
			break
		}
	}
	s.publish(store.Event{Changes: []store.Change{{}}}) // a change without a path, which no commit has
	require.Equal(t, codes.Unavailable, status.Code(<-ended))
	require.Equal(t, 1, logged.FilterMessage("call panicked").Len())
}

// listenStream is the server's end of a Listen stream.
type listenStream struct {
	grpc.ServerStream
	ctx       context.Context
	requests  chan *pb.ListenRequest
	responses chan *pb.ListenResponse
}

func (l *listenStream) Context() context.Context { return l.ctx }

func (l *listenStream) Send(r *pb.ListenResponse) error {
	l.responses <- r
	return nil
}

func (l *listenStream) Recv() (*pb.ListenRequest, error) {
	select {
	case r := <-l.requests:
		return r, nil
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
}
