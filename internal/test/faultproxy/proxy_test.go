package faultproxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	timeout     = time.Minute           // for bytes that must arrive; only a failing test waits this long
	quietPeriod = 50 * time.Millisecond // for bytes that must not arrive; a busy machine can only hide a fault
)

// echoServer sends every line back, and records it.
type echoServer struct {
	net.Listener
	received chan string
}

func newEchoServer(t *testing.T, network, address string) *echoServer {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	require.NoError(t, err)
	p := &echoServer{l, make(chan string, 1000)}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					p.received <- lines.Text()
					_, _ = io.WriteString(c, lines.Text()+"\n")
				}
			})
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		wg.Wait()
	})
	return p
}

// testClient is a connection through a proxy.
type testClient struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

func dial(t *testing.T, p *Proxy) *testClient {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), p.network, p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &testClient{c, t, bufio.NewReader(c)}
}

func (c *testClient) writeLine(line string) {
	c.t.Helper()
	_, err := io.WriteString(c, line+"\n")
	require.NoError(c.t, err)
}

func (c *testClient) readLine(within time.Duration) (string, error) {
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(within)))
	return c.lines.ReadString('\n')
}

func (c *testClient) requireLine(line string) {
	c.t.Helper()
	got, err := c.readLine(timeout)
	require.NoError(c.t, err)
	require.Equal(c.t, line+"\n", got)
}

func (c *testClient) requireNoLine() {
	c.t.Helper()
	got, err := c.readLine(quietPeriod)
	require.ErrorIs(c.t, err, os.ErrDeadlineExceeded, "%q", got)
}

func (c *testClient) requireClosed() {
	c.t.Helper()
	_, err := c.readLine(timeout)
	require.Error(c.t, err)
	require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded)
}

func newProxy(t *testing.T) (*Proxy, *echoServer) {
	t.Helper()
	target := newEchoServer(t, "tcp", "127.0.0.1:0")
	p, err := Listen("tcp", "127.0.0.1:0", target.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p, target
}

func (p *echoServer) requireReceived(t *testing.T, line string) {
	t.Helper()
	select {
	case got := <-p.received:
		require.Equal(t, line, got)
	case <-time.After(timeout):
		require.FailNow(t, "no line received")
	}
}

func TestForwards(t *testing.T) {
	t.Parallel()
	p, _ := newProxy(t)
	for range 3 {
		c := dial(t, p)
		c.writeLine("hello")
		c.requireLine("hello")
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := newEchoServer(t, "unix", filepath.Join(dir, "target"))
	p, err := Listen("unix", filepath.Join(dir, "proxy"), target.Addr().String())
	require.NoError(t, err)
	c := dial(t, p)
	c.writeLine("hello")
	c.requireLine("hello")
	require.NoError(t, p.Close())
	c.requireClosed()
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	p, _ := newProxy(t)
	before := dial(t, p)
	before.writeLine("hello")
	before.requireLine("hello")
	p.Set(Unreachable)
	before.requireClosed()
	dial(t, p).requireClosed()
	p.Clear()
	after := dial(t, p)
	after.writeLine("again")
	after.requireLine("again")
}

func TestResetConnectionsAcceptsNewOnes(t *testing.T) {
	t.Parallel()
	p, _ := newProxy(t)
	before := dial(t, p)
	before.writeLine("hello")
	before.requireLine("hello")
	p.ResetConnections()
	before.requireClosed()
	after := dial(t, p)
	after.writeLine("again")
	after.requireLine("again")
}

func TestBlackHoleDeliversInOrderWhenItEnds(t *testing.T) {
	t.Parallel()
	p, target := newProxy(t)
	c := dial(t, p)
	c.writeLine("hello")
	c.requireLine("hello")
	target.requireReceived(t, "hello")
	p.Set(BlackHole)
	c.writeLine("one")
	c.requireNoLine()
	c.writeLine("two")
	require.Empty(t, target.received)
	p.Clear()
	c.requireLine("one")
	c.requireLine("two")
}

func TestNoResponsesStillForwardsRequests(t *testing.T) {
	t.Parallel()
	p, target := newProxy(t)
	c := dial(t, p)
	p.Set(NoResponses)
	c.writeLine("do it")
	target.requireReceived(t, "do it")
	c.requireNoLine()
	p.ResetConnections()
	c.requireClosed()
}

func TestDelay(t *testing.T) {
	t.Parallel()
	p, _ := newProxy(t)
	c := dial(t, p)
	const delay = 50 * time.Millisecond
	p.Set(Fault{Delay: delay})
	sent := time.Now()
	c.writeLine("hello")
	c.requireLine("hello")
	require.GreaterOrEqual(t, time.Since(sent), 2*delay, "once in each direction")
}

func TestClearReleasesDelayedBytes(t *testing.T) {
	t.Parallel()
	p, _ := newProxy(t)
	c := dial(t, p)
	p.Set(Fault{Delay: time.Hour})
	c.writeLine("hello")
	c.requireNoLine()
	p.Clear()
	c.requireLine("hello")
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	p, target := newProxy(t)
	c := dial(t, p)
	c.writeLine("hello")
	c.requireLine("hello")
	target.requireReceived(t, "hello")
	p.HalfCloseConnections()
	_, err := c.readLine(timeout)
	require.ErrorIs(t, err, io.EOF)
	c.writeLine("still there")
	target.requireReceived(t, "still there")
}

func TestTargetUnreachable(t *testing.T) {
	t.Parallel()
	p, err := Listen("unix", filepath.Join(t.TempDir(), "proxy"), "/nonexistent")
	require.NoError(t, err)
	dial(t, p).requireClosed()
	require.NoError(t, p.Close())
	_, err = Listen("unix", "/nonexistent/proxy", "/nonexistent")
	require.Error(t, err)
}

// Close ends all connections, also during concurrent faults. The race detector and goleak find the failures.
func TestConcurrentFaults(t *testing.T) {
	t.Parallel()
	p, _ := newProxy(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(timeout))
				_, err = io.WriteString(c, "hello\n")
				if err == nil {
					_, err = bufio.NewReader(c).ReadString('\n')
				}
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("a connection was neither served nor closed")
				}
				_ = c.Close()
			}
		})
	}
	wg.Go(func() {
		for i := range 50 {
			p.Set([]Fault{Unreachable, BlackHole, NoResponses, {Delay: time.Millisecond}}[i%4])
			p.ResetConnections()
			p.HalfCloseConnections()
			p.Clear()
		}
	})
	wg.Wait()
}

// A target can tell whose connections it has.
func TestConnects(t *testing.T) {
	t.Parallel()
	target, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer target.Close()
	p, err := Listen("tcp", "127.0.0.1:0", target.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	c := dial(t, p)
	proxied, err := target.Accept()
	require.NoError(t, err)
	defer proxied.Close()
	c.writeLine("hello")
	_, err = proxied.Read(make([]byte, 1)) // the proxy knows the connection before it forwards anything
	require.NoError(t, err)
	require.True(t, p.Connects(proxied.RemoteAddr()))
	require.False(t, p.Connects(c.LocalAddr()))
	other, err := new(net.Dialer).DialContext(t.Context(), "tcp", target.Addr().String())
	require.NoError(t, err)
	defer other.Close()
	require.False(t, p.Connects(other.LocalAddr()))
}
