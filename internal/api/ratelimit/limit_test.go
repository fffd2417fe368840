package ratelimit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBucketRefills(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBuckets(2, 3, func() time.Time { return now })
	for range 3 {
		require.Zero(t, b.RetryAfter("ada"))
		require.Zero(t, b.Take("ada"))
	}
	require.Equal(t, 500*time.Millisecond, b.Take("ada"))
	require.Equal(t, 500*time.Millisecond, b.RetryAfter("ada"), "what was refused costs nothing")
	require.Zero(t, b.Take("bob"), "another's bucket")
	now = now.Add(500 * time.Millisecond)
	require.Zero(t, b.Take("ada"))
	require.NotZero(t, b.Take("ada"))
}

func TestZeroRateIsUnlimited(t *testing.T) {
	b := NewBuckets(0, 0, nil)
	require.Zero(t, b.Take("ada"))
	require.Zero(t, b.RetryAfter("ada"))
}

// In no time are there more than the burst and what came again meanwhile.
func TestTakeNeverExceedsBurstPlusRefill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(0, 0)
		b := NewBuckets(10, 5, func() time.Time { return now })
		taken := 0
		for _, ms := range rapid.SliceOf(rapid.IntRange(0, 300)).Draw(t, "pauses") {
			now = now.Add(time.Duration(ms) * time.Millisecond)
			wait := b.Take("ada")
			if wait == 0 {
				taken++
			}
			if most := 5 + 10*now.Sub(time.Unix(0, 0)).Seconds(); float64(taken) > most+1e-9 {
				t.Fatalf("%d taken of %v", taken, most)
			}
			if wait > 100*time.Millisecond {
				t.Fatalf("a token comes every 100ms, not in %s", wait)
			}
		}
	})
}

func TestBucketCountIsBounded(t *testing.T) {
	b := NewBuckets(1, 1, nil)
	for i := range 3 * maxBuckets {
		b.Take(fmt.Sprint(i))
	}
	require.Equal(t, maxBuckets, b.limiters.Len())
}

func TestConcurrentTake(t *testing.T) {
	now := time.Unix(0, 0)
	b := NewBuckets(1, 10, func() time.Time { return now })
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		taken int
	)
	for range 100 {
		all.Go(func() {
			if b.Take("ada") == 0 {
				mu.Lock()
				taken++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	require.Equal(t, 10, taken)
}

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
	_, err = c.Write(make([]byte, 64<<20)) // more than sockets hold
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// A large answer may take longer than the time of one write.
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
		t.Fatal("accepted while the first was there")
	case <-time.After(20 * time.Millisecond): // that nothing happens announces itself to nobody
	}
	require.NoError(t, first.Close())
	c, ok := <-second
	require.True(t, ok)
	require.NoError(t, c.Close())
}
