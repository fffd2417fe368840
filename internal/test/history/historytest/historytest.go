// Package historytest gives tests the history of a Firestore.
package historytest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/airlock-run/airlock/internal/test/history"
)

// Watch records the Firestore at an address from now until the test ends, anew
// where the stream breaks; again says when that has happened.
func Watch(t testing.TB, address, project string) (r *history.Recorder, reconnected <-chan struct{}) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	r = new(history.Recorder)
	ctx, cancel := context.WithCancel(context.Background())
	ready := make(chan struct{}, 1)
	var group errgroup.Group
	group.Go(func() error {
		for ctx.Err() == nil {
			_ = r.Watch(ctx, conn, project, func() { // ends with ctx, or Firestore
				select {
				case ready <- struct{}{}:
				default:
				}
			})
		}
		return nil
	})
	t.Cleanup(func() {
		cancel()
		require.NoError(t, group.Wait())
		require.NoError(t, conn.Close())
	})
	<-ready
	return r, ready
}
