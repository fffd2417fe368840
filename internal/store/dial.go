package store

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/googleclient"
)

// Dial returns a store over the Firestore of a Google Cloud project, or over an emulator at emulatorHost (host:port) if
// that is not empty. It does not wait for the service to answer. Close the store after its last use.
func Dial(ctx context.Context, project, emulatorHost string) (*Store, error) {
	return dial(ctx, project, emulatorHost)
}

func dial(ctx context.Context, project, emulatorHost string, extra ...option.ClientOption) (*Store, error) {
	opts := append(googleclient.Options(emulatorHost), detectDeadConnection())
	if emulatorHost != "" {
		opts = append(opts, option.WithGRPCDialOption(grpc.WithPerRPCCredentials(emulatorAdmin{})))
	}
	client, err := firestore.NewClient(ctx, project, append(opts, extra...)...)
	if err != nil {
		return nil, fmt.Errorf("firestore: %w", err)
	}
	return New(client), nil
}

// Close closes the connection that Dial made.
func (s *Store) Close() error { return s.client.Close() }

// detectDeadConnection makes a client give up a connection that died silently, for example because the other machine
// lost power or a NAT dropped its entry. The kernel alone waits a quarter of an hour, and every call in that time
// would be lost. If data is not acknowledged within Timeout, the connection ends (gRPC sets TCP_USER_TIMEOUT to it);
// this costs no ping. After Time without any data, a call in progress is checked by a ping. Google's front ends allow
// at most one ping in 30 s (googleapis/java-bigtable#528).
func detectDeadConnection() option.ClientOption {
	return option.WithGRPCDialOption(grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time: 30 * time.Second, Timeout: fleet.RenewInterval,
	}))
}

// emulatorAdmin makes Google's Firestore emulator skip the security rules.
type emulatorAdmin struct{}

func (emulatorAdmin) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (emulatorAdmin) RequireTransportSecurity() bool { return false }
