package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/semaphore"
)

// Session is the way out of one execution, see sandbox.Egress.
type Session struct {
	gateway *Gateway
	policy  Policy
	server  *http.Server
	log     *zap.Logger
	budget  *budgetTracker

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	closed   bool
	requests sync.WaitGroup // requests being handled; added to under mu, so that Close waits for all

	bodyBytes *semaphore.Weighted // bytes of request bodies held at a time
}

const (
	maxConnections = 32
	maxHeaderBytes = 64 << 10
	headerTimeout  = 10 * time.Second
)

var errSessionClosed = errors.New("the execution has ended")

func newServer(h http.Handler, log *zap.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	errorLog, err := zap.NewStdLogAt(log, zap.DebugLevel)
	if err != nil {
		errorLog = nil // an unknown level only: not this one
	}
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		ErrorLog:                     errorLog,
	}
}

// Serve answers the sandbox until the listener or the session is closed. It owns the listener.
func (s *Session) Serve(l net.Listener) error {
	err := s.server.Serve(netutil.LimitListener(l, maxConnections))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close ends all requests, upstream too, and waits for them, so that the
// summary does not change any more. It may be called again.
func (s *Session) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel(errSessionClosed)
	err := s.server.Close()
	s.requests.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil // the listener's owner was faster
	}
	return err
}

// Summary is what went through so far.
func (s *Session) Summary() Summary { return s.budget.summary() }

// enter counts a request in, unless the session has ended.
func (s *Session) beginRequest() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.requests.Add(1)
	}
	return !s.closed
}
