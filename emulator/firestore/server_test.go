package firestore_test

import (
	"context"
	"net"
	"os"
	"sync"
	"testing"

	client "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator/firestore"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		runServerProcess(dir)
	}
	goleak.VerifyTestMain(m)
}

// emulator is a server on a loopback port.
type emulator struct {
	*firestore.Server
	addr string
	stop func(testing.TB) // gracefully; done when the test ends, if not before
}

// start serves until the test ends.
func start(t testing.TB, o firestore.Options) *emulator {
	t.Helper()
	if o.Logger == nil {
		o.Logger = zaptest.NewLogger(t)
	}
	s, err := firestore.Open(o)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := grpc.NewServer(grpc.MaxRecvMsgSize(firestore.MaxRequestBytes))
	s.Register(g)
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	var once sync.Once
	stop := func(t testing.TB) {
		once.Do(func() {
			require.NoError(t, s.Close())
			g.GracefulStop()
			require.NoError(t, <-served)
		})
	}
	t.Cleanup(func() { stop(t) })
	return &emulator{Server: s, addr: l.Addr().String(), stop: stop}
}

// dial returns a client of Google's for a project.
func (e *emulator) dial(t testing.TB, project string) *client.Client {
	t.Helper()
	c, err := client.NewClient(t.Context(), project, option.WithEndpoint(e.addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// together makes writes that are one commit.
func commitWrites(ctx context.Context, c *client.Client, f func(tx *client.Transaction) error) error {
	return c.RunTransaction(ctx, func(_ context.Context, tx *client.Transaction) error { return f(tx) })
}

// raw returns a connection for what the client does not send.
func (e *emulator) raw(t testing.TB) pb.FirestoreClient {
	t.Helper()
	conn, err := grpc.NewClient(e.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return pb.NewFirestoreClient(conn)
}
