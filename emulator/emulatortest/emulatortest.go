// Package emulatortest runs Firestore and Pub/Sub emulators for Go tests, in the process of the test and on loopback.
//
// It receives a testing.TB and the options of an emulator, and returns a running service with one of Google's clients.
// It stops everything when the test ends. It never listens on another interface than loopback.
//
//	func TestOrders(t *testing.T) {
//		fs := emulatortest.StartFirestore(t, firestore.Options{})
//		_, err := fs.Client.Doc("orders/1").Set(t.Context(), map[string]any{"total": 7})
//		...
//	}
package emulatortest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator"
)

// Project is the project of the clients that this package returns.
const Project = "airlock-test"

// leakWait is longer than a call that nobody waits for any more may take to end by its own time-out.
const leakWait = 15 * time.Second

// Main is a TestMain for packages that use the emulators. It runs the tests, and fails if goroutines are left.
func Main(m goleak.TestingM) {
	code := m.Run()
	if code == 0 {
		if err := leaks(leakWait); err != nil {
			fmt.Fprintf(os.Stderr, "goroutines are left after the tests: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}

// leaks returns the goroutines that are left after wait, as an error, or nil as soon as there are none.
func leaks(wait time.Duration) error {
	for end := time.Now().Add(wait); ; {
		err := goleak.Find(IgnoredGoroutines()...) // waits some milliseconds itself
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// IgnoredGoroutines are goroutines that Google's clients do not stop.
func IgnoredGoroutines() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		// It ends at its next tick, after up to 10 s.
		goleak.IgnoreTopFunction("cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"),
	}
}

// Service is one running emulator. It keeps its data while it is stopped.
type Service struct {
	t           testing.TB
	service     emulator.Service
	dialOptions []grpc.DialOption // of its clients
	interceptor atomic.Pointer[grpc.UnaryServerInterceptor]

	mu       sync.Mutex
	server   *grpc.Server // nil while stopped
	address  string       // of the newest listener
	serveErr chan error   // receives the result of server.Serve
}

func newService(t testing.TB, service emulator.Service, dialOptions []grpc.DialOption) *Service {
	t.Helper()
	s := &Service{t: t, service: service, dialOptions: dialOptions}
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// Address returns the address that the service listens on, host:port. Every Start chooses a new one.
func (s *Service) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Stop ends all connections and refuses new ones until Start. It does nothing if the service is stopped.
func (s *Service) Stop() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return
	}
	s.server.Stop()
	require.NoError(s.t, <-s.serveErr)
	s.server = nil
}

// Start listens again after Stop. Clients that ClientOptions configures reconnect by themselves. It does nothing if
// the service is running.
func (s *Service) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return
	}
	l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	server := emulator.NewServer(s.service, grpc.WaitForHandlers(true), grpc.UnaryInterceptor(s.intercept))
	serveErr := make(chan error, 1)
	go func() { serveErr <- server.Serve(l) }()
	s.server, s.address, s.serveErr = server, l.Addr().String(), serveErr
}

// Close stops the service for good and unlocks the folder of its data, for a test that opens the folder again. The
// end of the test closes the service in any case.
func (s *Service) Close() {
	s.t.Helper()
	require.NoError(s.t, s.service.Close())
	s.Stop()
}

// Intercept passes all later unary calls of all clients through f, for example to lose a reply.
func (s *Service) Intercept(f grpc.UnaryServerInterceptor) { s.interceptor.Store(&f) }

func (s *Service) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if f := s.interceptor.Load(); f != nil {
		return (*f)(ctx, req, info, handle)
	}
	return handle(ctx, req)
}

// ClientOptions connect one of Google's clients to the service. The client finds the address of the newest Start, and
// retries often, so that it reconnects quickly.
func (s *Service) ClientOptions() []option.ClientOption {
	connectParams := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 5 * time.Millisecond, Multiplier: 1.5, MaxDelay: 50 * time.Millisecond},
		MinConnectTimeout: time.Second,
	}
	options := []option.ClientOption{
		option.WithEndpoint(s.Address()),
		option.WithoutAuthentication(),
		option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithConnectParams(connectParams)),
		option.WithGRPCDialOption(grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.Address())
		})),
	}
	for _, o := range s.dialOptions {
		options = append(options, option.WithGRPCDialOption(o))
	}
	return options
}

// newClient returns a client that is closed when the test ends, before the service.
func newClient[C io.Closer](s *Service, create func(context.Context, string, ...option.ClientOption) (C, error)) C {
	s.t.Helper()
	client, err := create(s.t.Context(), Project, s.ClientOptions()...)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, client.Close()) })
	return client
}
