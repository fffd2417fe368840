package firestore_test

import (
	"context"
	"testing"

	client "cloud.google.com/go/firestore"
	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/emulator/internal/crashtest"
)

func TestMain(m *testing.M) {
	crashtest.ServeInChild(func(dir string) (*firestore.Server, error) {
		return firestore.Open(firestore.Options{Dir: dir})
	})
	emulatortest.Main(m)
}

// service is a running emulator.
type service struct{ *emulatortest.Firestore }

func start(t testing.TB, o firestore.Options) service {
	t.Helper()
	if o.Logger == nil {
		o.Logger = zaptest.NewLogger(t)
	}
	return service{emulatortest.StartFirestore(t, o)}
}

// dial returns a client for a project.
func (s service) dial(t testing.TB, project string) *client.Client {
	t.Helper()
	c, err := client.NewClient(t.Context(), project, s.ClientOptions()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// commitWrites makes writes in one commit.
func commitWrites(ctx context.Context, c *client.Client, f func(tx *client.Transaction) error) error {
	return c.RunTransaction(ctx, func(_ context.Context, tx *client.Transaction) error { return f(tx) })
}

// raw returns a client of the gRPC service, for requests that Google's client does not send.
func (s service) raw(t testing.TB) pb.FirestoreClient {
	t.Helper()
	return dialRaw(t, s.Address())
}

func dialRaw(t testing.TB, address string) pb.FirestoreClient {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return pb.NewFirestoreClient(conn)
}
