package store

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/api/option"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
)

// If the network drops every packet to Firestore silently, the client makes another connection long before the kernel
// gives up the first one.
func TestDeadFirestoreConnectionIsReplaced(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can create a network namespace")
	}
	t.Parallel()
	n := newNetwork(t)
	var l net.Listener
	require.NoError(t, n.do(func() (err error) {
		l, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		return err
	}))
	emulator, err := firestoreemulator.Open(firestoreemulator.Options{})
	require.NoError(t, err)
	server := grpc.NewServer()
	emulator.Register(server)
	serveErr := make(chan error, 1)
	go func() { serveErr <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		require.NoError(t, <-serveErr)
		require.NoError(t, emulator.Close())
	})

	var dials atomic.Int32
	dialer := grpc.WithContextDialer(func(ctx context.Context, address string) (c net.Conn, err error) {
		dials.Add(1)
		err = n.do(func() error {
			c, err = new(net.Dialer).DialContext(ctx, "tcp", address)
			return err
		})
		return c, err
	})
	s, err := dial(t.Context(), emulatortest.Project, l.Addr().String(), option.WithGRPCDialOption(dialer))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	_, err = s.Now(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, dials.Load())

	require.NoError(t, n.setUp(false))
	for startedAt := time.Now(); dials.Load() == 1; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := s.Now(ctx)
		cancel()
		require.ErrorIs(t, err, ErrUnavailable)
		require.Less(t, time.Since(startedAt), time.Minute)
	}
	require.NoError(t, n.setUp(true))
	require.Eventually(t, func() bool { _, err := s.Now(t.Context()); return err == nil }, time.Minute, 100*time.Millisecond)
}

// testNetwork is a network namespace with its own loopback. It exists as long as the thread that created it, which does
// nothing else.
type testNetwork struct{ calls chan func() }

func newNetwork(t *testing.T) *testNetwork {
	t.Helper()
	n := &testNetwork{calls: make(chan func())}
	made := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		made <- unix.Unshare(unix.CLONE_NEWNET)
		for call := range n.calls {
			call()
		}
	}()
	t.Cleanup(func() {
		close(n.calls)
		<-ended
	})
	require.NoError(t, <-made)
	require.NoError(t, n.setUp(true))
	return n
}

// do calls f on the thread whose sockets belong to the network.
func (n *testNetwork) do(f func() error) error {
	done := make(chan error, 1)
	n.calls <- func() { done <- f() }
	return <-done
}

// setUp switches the network on or off. Packets that are sent while it is off are lost.
func (n *testNetwork) setUp(on bool) error {
	return n.do(func() (err error) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unix.Close(fd)) }()
		lo, err := unix.NewIfreq("lo")
		if err != nil {
			return err
		}
		if on {
			lo.SetUint16(unix.IFF_UP)
		}
		return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
	})
}
