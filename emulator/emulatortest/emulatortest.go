// Package emulatortest gives tests Firestore and Pub/Sub: the emulators, in
// this process and on loopback, behind Google's own clients.
package emulatortest

import (
	"context"
	"net"
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

// Project is the one that the clients speak of.
const Project = "airlock-test"

// Main is the TestMain of packages that use the emulators: it runs the tests
// and fails when they have left goroutines behind.
func Main(m *testing.M) { goleak.VerifyTestMain(m, IgnoredGoroutines()...) }

// Leftovers are the goroutines that Google's clients leave by themselves.
func IgnoredGoroutines() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		// Waits for its next tick, 10 s.
		goleak.IgnoreTopFunction("cloud.google.com/go/pubsub/v2.(*messageIterator).streamKeepAliveHandler"),
	}
}

// registrar is an emulator as a gRPC server sees it.
type emulatorServer interface {
	Register(grpc.ServiceRegistrar)
	Close() error // once
}

// Service is one emulator. It keeps its data while it is away.
type Service struct {
	t           testing.TB
	emulator    emulatorServer
	interceptor atomic.Pointer[grpc.UnaryServerInterceptor]

	mu       sync.Mutex
	server   *grpc.Server // nil while away
	address  string       // of the newest listener
	serveErr chan error
}

func newService(t testing.TB, emulator emulatorServer) *Service {
	t.Helper()
	s := &Service{t: t, emulator: emulator}
	s.Start()
	t.Cleanup(sync.OnceFunc(func() {
		require.NoError(t, emulator.Close())
		s.Stop()
	}))
	return s
}

// Address is where it listens, host:port. It is another one after Back.
func (s *Service) Address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.address
}

// Away ends every connection, and lets none be made, until Back.
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

// Back answers again; the clients of this package find it.
func (s *Service) Start() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return
	}
	l, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	server := grpc.NewServer(append(emulator.ServerOptions(), grpc.WaitForHandlers(true), grpc.UnaryInterceptor(s.intercept))...)
	s.emulator.Register(server)
	serveErr := make(chan error, 1)
	go func() { serveErr <- server.Serve(l) }()
	s.server, s.address, s.serveErr = server, l.Addr().String(), serveErr
}

// Intercept has f stand between the service and all that is asked of it from
// now on, whoever asks: to lose an answer, for instance.
func (s *Service) Intercept(f grpc.UnaryServerInterceptor) { s.interceptor.Store(&f) }

func (s *Service) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if f := s.interceptor.Load(); f != nil {
		return (*f)(ctx, req, info, handle)
	}
	return handle(ctx, req)
}

// options make a client of Google's that finds the service wherever it listens
// now, and notices quickly that it is back.
func (s *Service) clientOptions(dialOptions []grpc.DialOption) []option.ClientOption {
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
	for _, o := range dialOptions {
		options = append(options, option.WithGRPCDialOption(o))
	}
	return options
}
