package app

import (
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// reconnecting makes a client look often whether a service that went away is
// back. gRPC by itself waits up to two minutes between two looks, and that
// would come on top of every outage: a lease of 15 s would not outlast one of 10 s.
func reconnecting(opts []option.ClientOption) []option.ClientOption {
	return append(opts, option.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: 5 * time.Second,
	})))
}
