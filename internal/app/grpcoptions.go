package app

import (
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// reconnecting makes a client look often whether a service that went away is
// back. gRPC by itself waits up to two minutes between two looks, and that
// would come on top of every outage: a lease of 15 s would not outlast one of 10 s.
//
// Nothing hears what the clients say of their calls to OpenTelemetry's global
// providers (see package trace); saying it is 3 % of an execution's CPU time.
func withFastReconnect(opts []option.ClientOption) []option.ClientOption {
	return append(opts, option.WithTelemetryDisabled(), option.WithGRPCDialOption(grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: 5 * time.Second,
	})))
}

// noticing makes a client give up a connection that died without a word, as of
// a machine that is gone or a NAT that forgot it: the kernel's own patience is a
// quarter of an hour, in which each heartbeat would go the same way. What is sent
// and not acknowledged within Timeout ends the connection (gRPC sets
// TCP_USER_TIMEOUT to it), which costs no ping. Pings are for a call that nothing
// is heard of for Time; Google's front ends allow no more than one in 30 s
// (googleapis/java-bigtable#528).
func withDeadConnectionDetection(opts []option.ClientOption) []option.ClientOption {
	return append(opts, option.WithGRPCDialOption(grpc.WithKeepaliveParams(keepalive.ClientParameters{
		Time: 30 * time.Second, Timeout: execution.DefaultHeartbeat,
	})))
}
