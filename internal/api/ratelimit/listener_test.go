package ratelimit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func listen(t *testing.T, connections int, write time.Duration) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return NewListener(l, connections, write)
}

func dial(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestStalledReaderIsDisconnected(t *testing.T) {
	l := listen(t, 1, 50*time.Millisecond)
	dial(t, l)
	c, err := l.Accept()
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Write(make([]byte, 64<<20)) // more than the sockets buffer
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// A large response may take longer than the time-out of one write.
func TestSlowReaderGetsEverything(t *testing.T) {
	l := listen(t, 1, time.Minute)
	reading := dial(t, l)
	c, err := l.Accept()
	require.NoError(t, err)
	defer c.Close()
	const size = 8 << 20
	sent := make(chan error)
	go func() {
		n, err := c.Write(make([]byte, size))
		if n != size {
			err = errors.Join(err, fmt.Errorf("%d of %d bytes", n, size))
		}
		sent <- err
	}()
	buffer := make([]byte, 1<<10)
	for got := 0; got < size; {
		n, err := reading.Read(buffer)
		require.NoError(t, err)
		got += n
	}
	require.NoError(t, <-sent)
}

func TestConnectionLimit(t *testing.T) {
	l := listen(t, 1, time.Second)
	dial(t, l)
	dial(t, l)
	first, err := l.Accept()
	require.NoError(t, err)
	second := make(chan net.Conn)
	go func() {
		c, err := l.Accept()
		if err == nil {
			second <- c
		}
		close(second)
	}()
	select {
	case <-second:
		t.Fatal("accepted while the first connection is open")
	case <-time.After(20 * time.Millisecond): // no event says that nothing happens
	}
	require.NoError(t, first.Close())
	c, ok := <-second
	require.True(t, ok)
	require.NoError(t, c.Close())
}
