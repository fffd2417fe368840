// Package googleclient holds the options that Google's Firestore and Pub/Sub clients share here. The address of an
// emulator comes in, or nothing for Google's own services; client options go out. The package never makes a client and
// knows nothing of what the clients are used for.
package googleclient

import (
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// Options returns the options of a client. emulatorHost is host:port of an emulator; empty means Google's service, with
// the default credentials of the environment.
func Options(emulatorHost string) []option.ClientOption {
	opts := []option.ClientOption{
		// Nothing reads what the clients report to OpenTelemetry's global providers (see package trace), and reporting
		// it takes 3 % of an execution's CPU time.
		option.WithTelemetryDisabled(),
		// gRPC's default waits up to two minutes between two attempts to connect. That wait would be added to every
		// outage, and a lease of 15 s would not outlast an outage of 10 s.
		option.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		})),
	}
	if emulatorHost != "" {
		opts = append(opts, option.WithEndpoint(emulatorHost), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	}
	return opts
}
