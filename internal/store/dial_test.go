package store

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
)

// While Firestore is unreachable, a store tries to connect about every two seconds. (gRPC's default would make the
// tenth attempt after two minutes.)
func TestDialReconnectsFrequently(t *testing.T) {
	t.Parallel()
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
	s, err := Dial(t.Context(), emulatortest.Project, l.Addr().String())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	result := make(chan error, 1)
	go func() { _, err := s.Now(ctx); result <- err }()
	for range 10 {
		select {
		case <-accepted:
		case err := <-result:
			require.NoError(t, err, "connected less often")
		}
	}
	cancel()
	require.Error(t, <-result)
	require.NoError(t, s.Close())
	require.NoError(t, l.Close())
	<-acceptDone
}
