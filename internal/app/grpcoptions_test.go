package app

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/store"
)

// A program that finds Firestore in its environment looks for it every two
// seconds or so while it is away. (gRPC by itself would knock the tenth time after two minutes.)
func TestFirestoreReconnectsFrequently(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	accepted := make(chan struct{}, 100)
	acceptDone := make(chan struct{})
	go func() {
		defer close(acceptDone)
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
			accepted <- struct{}{}
		}
	}()
	setOnlyEnv(t, withEmulatorHosts(map[string]string{"FIRESTORE_EMULATOR_HOST": l.Addr().String()}))
	c, err := LoadExecutor()
	require.NoError(t, err)
	client, err := dialFirestore(t.Context(), c.Services)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result := make(chan error, 1)
	go func() { _, err := store.New(client).Now(ctx); result <- err }()
	for range 10 {
		select {
		case <-accepted:
		case err := <-result:
			require.NoError(t, err, "looked less often")
		}
	}
	cancel()
	require.Error(t, <-result)
	require.NoError(t, client.Close())
	require.NoError(t, l.Close())
	<-acceptDone
}
