package livesteps

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// BenchmarkStep measures the time from a step to its arrival in another process, over a connection that is open.
func BenchmarkStep(b *testing.B) {
	s := newSource()
	s.add(1)
	server, err := Listen(b.Context(), "127.0.0.1:0", "")
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- server.Serve(ctx, s) }()
	client, err := newClient(server.Endpoint())
	require.NoError(b, err)
	steps := make(chan int)
	go func() {
		defer close(steps)
		for after := (Position{}); ; {
			got, err := ask(ctx, client, server.Endpoint(), attempt{Ref: execution.Ref{Tenant: "ada", ID: "exe_1"}, number: 2}, after)
			if err != nil {
				return
			}
			after.Step = got.Steps[len(got.Steps)-1].Number
			steps <- after.Step
		}
	}()
	<-steps
	for b.Loop() {
		s.add(1)
		<-steps
	}
	stop()
	require.NoError(b, <-served)
	for range steps {
		b.Log("a step after the end")
	}
	client.CloseIdleConnections()
}
