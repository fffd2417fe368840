package emulator_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator"
	"github.com/airlock-run/airlock/emulator/emulatortest"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const module = "github.com/airlock-run/airlock/emulator"

// TestModuleImportsNothingOfTheProduct checks all packages and tests of the module.
func TestModuleImportsNothingOfTheProduct(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test", "./...").Output()
	require.NoError(t, err)
	found := false
	for line := range strings.Lines(string(out)) {
		path := strings.Fields(line)[0] // a line may be "path [path.test]"
		path = strings.TrimSuffix(strings.TrimSuffix(path, ".test"), "_test")
		if path == module || strings.HasPrefix(path, module+"/") {
			found = true
			continue
		}
		require.False(t, strings.HasPrefix(path, filepath.Dir(module)), "the module imports %s", path)
	}
	require.True(t, found)
}

func options(dir string) emulator.Options {
	return emulator.Options{Dir: dir, PubSub: "127.0.0.1:0", Firestore: "127.0.0.1:0"}
}

func TestServeReportsHealthUntilContextEnds(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	e, err := emulator.Start(ctx, options(t.TempDir()))
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- e.Serve(ctx) }()
	var clients []grpc_health_v1.HealthClient
	for _, address := range []string{e.PubSub, e.Firestore} {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		defer conn.Close()
		client := grpc_health_v1.NewHealthClient(conn)
		r, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		require.NoError(t, err)
		require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, r.Status)
		clients = append(clients, client)
	}
	stop()
	require.NoError(t, <-served)
	for _, client := range clients {
		_, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		require.Equal(t, codes.Unavailable, status.Code(err))
	}
}

func TestStartRefusesFolderInUse(t *testing.T) {
	dir := t.TempDir()
	first, err := emulator.Start(t.Context(), options(dir))
	require.NoError(t, err)
	_, err = emulator.Start(t.Context(), options(dir))
	var locked *emulator.LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, filepath.Join(dir, "pubsub"), locked.Dir)
	require.NoError(t, first.Close())

	second, err := emulator.Start(t.Context(), options(dir))
	require.NoError(t, err, "Close releases the folder")
	require.NoError(t, second.Close())
}

func TestStartRefusesAddressInUse(t *testing.T) {
	first, err := emulator.Start(t.Context(), options(""))
	require.NoError(t, err)
	defer func() { require.NoError(t, first.Close()) }()
	o := options(t.TempDir())
	o.Firestore = first.Firestore
	_, err = emulator.Start(t.Context(), o)
	require.ErrorContains(t, err, "firestore emulator")
	require.ErrorContains(t, err, "is another emulator running?")

	o.Firestore = "127.0.0.1:0"
	again, err := emulator.Start(t.Context(), o)
	require.NoError(t, err, "the failed Start has released the folders and the other address")
	require.NoError(t, again.Close())
}
