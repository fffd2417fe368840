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

// patience is how long what must come may take; a moment is how long what must not come is waited for.
const (
	patience = 10 * time.Second
	moment   = 50 * time.Millisecond
)

// parrot repeats every line, and notes what it has heard.
type parrot struct {
	net.Listener
	heard chan string
}

func newParrot(t *testing.T, network, address string) *parrot {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), network, address)
	require.NoError(t, err)
	p := &parrot{l, make(chan string, 1000)}
	var working sync.WaitGroup
	working.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			working.Go(func() {
				defer c.Close()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					p.heard <- lines.Text()
					_, _ = io.WriteString(c, lines.Text()+"\n")
				}
			})
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		working.Wait()
	})
	return p
}

// talk is a connection through a proxy.
type talk struct {
	net.Conn
	t     *testing.T
	lines *bufio.Reader
}

func dial(t *testing.T, p *Proxy) *talk {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), p.network, p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &talk{c, t, bufio.NewReader(c)}
}

func (c *talk) say(line string) {
	c.t.Helper()
	_, err := io.WriteString(c, line+"\n")
	require.NoError(c.t, err)
}

func (c *talk) hear(within time.Duration) (string, error) {
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(within)))
	return c.lines.ReadString('\n')
}

func (c *talk) hears(line string) {
	c.t.Helper()
	got, err := c.hear(patience)
	require.NoError(c.t, err)
	require.Equal(c.t, line+"\n", got)
}

func (c *talk) hearsNothing() {
	c.t.Helper()
	got, err := c.hear(moment)
	require.ErrorIs(c.t, err, os.ErrDeadlineExceeded, "%q", got)
}

func (c *talk) isCut() {
	c.t.Helper()
	_, err := c.hear(patience)
	require.Error(c.t, err)
	require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded)
}

func through(t *testing.T) (*Proxy, *parrot) {
	t.Helper()
	target := newParrot(t, "tcp", "127.0.0.1:0")
	p, err := Listen("tcp", "127.0.0.1:0", target.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p, target
}

func (p *parrot) hears(t *testing.T, line string) {
	t.Helper()
	select {
	case got := <-p.heard:
		require.Equal(t, line, got)
	case <-time.After(patience):
		require.FailNow(t, "nothing was heard")
	}
}

func TestPassesOn(t *testing.T) {
	t.Parallel()
	p, _ := through(t)
	for range 3 {
		c := dial(t, p)
		c.say("hello")
		c.hears("hello")
	}
}

func TestOnUnixSockets(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target := newParrot(t, "unix", filepath.Join(dir, "target"))
	p, err := Listen("unix", filepath.Join(dir, "proxy"), target.Addr().String())
	require.NoError(t, err)
	c := dial(t, p)
	c.say("hello")
	c.hears("hello")
	require.NoError(t, p.Close())
	c.isCut()
}

func TestAway(t *testing.T) {
	t.Parallel()
	p, _ := through(t)
	before := dial(t, p)
	before.say("hello")
	before.hears("hello")
	p.Set(Away)
	before.isCut()
	dial(t, p).isCut()
	p.Heal()
	after := dial(t, p)
	after.say("again")
	after.hears("again")
}

func TestCutTakesNewConnections(t *testing.T) {
	t.Parallel()
	p, _ := through(t)
	before := dial(t, p)
	before.say("hello")
	before.hears("hello")
	p.Cut()
	before.isCut()
	after := dial(t, p)
	after.say("again")
	after.hears("again")
}

// What is swallowed by a black hole arrives when it is gone, in order.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	p, target := through(t)
	c := dial(t, p)
	c.say("hello")
	c.hears("hello")
	target.hears(t, "hello")
	p.Set(BlackHole)
	c.say("one")
	c.hearsNothing()
	c.say("two")
	require.Empty(t, target.heard)
	p.Heal()
	c.hears("one")
	c.hears("two")
}

// What is asked of a deaf client's server is done; the client does not hear of it.
func TestDeaf(t *testing.T) {
	t.Parallel()
	p, target := through(t)
	c := dial(t, p)
	p.Set(Deaf)
	c.say("do it")
	target.hears(t, "do it")
	c.hearsNothing()
	p.Cut()
	c.isCut()
}

func TestDelay(t *testing.T) {
	t.Parallel()
	p, _ := through(t)
	c := dial(t, p)
	const late = 50 * time.Millisecond
	p.Set(Fault{Delay: late})
	said := time.Now()
	c.say("hello")
	c.hears("hello")
	require.GreaterOrEqual(t, time.Since(said), 2*late, "once there and once back")
}

// A delay that is lifted no longer holds up what it was holding.
func TestHealEndsADelay(t *testing.T) {
	t.Parallel()
	p, _ := through(t)
	c := dial(t, p)
	p.Set(Fault{Delay: time.Hour})
	c.say("hello")
	c.hearsNothing()
	p.Heal()
	c.hears("hello")
}

func TestHalfClose(t *testing.T) {
	t.Parallel()
	p, target := through(t)
	c := dial(t, p)
	c.say("hello")
	c.hears("hello")
	target.hears(t, "hello")
	p.HalfClose()
	_, err := c.hear(patience)
	require.ErrorIs(t, err, io.EOF)
	c.say("still there")
	target.hears(t, "still there")
}

func TestATargetThatIsNotThere(t *testing.T) {
	t.Parallel()
	p, err := Listen("unix", filepath.Join(t.TempDir(), "proxy"), "/nonexistent")
	require.NoError(t, err)
	dial(t, p).isCut()
	require.NoError(t, p.Close())
	_, err = Listen("unix", "/nonexistent/proxy", "/nonexistent")
	require.Error(t, err)
}

// Whatever happens to connections at once, Close ends them all. (What fails here is -race, or goleak.)
func TestFaultsAtOnce(t *testing.T) {
	t.Parallel()
	p, _ := through(t)
	var working sync.WaitGroup
	for range 8 {
		working.Go(func() {
			for range 20 {
				c, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.Addr())
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				_, err = io.WriteString(c, "hello\n")
				if err == nil {
					_, err = bufio.NewReader(c).ReadString('\n')
				}
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("a connection was neither served nor cut")
				}
				_ = c.Close()
			}
		})
	}
	working.Go(func() {
		for i := range 50 {
			p.Set([]Fault{Away, BlackHole, Deaf, {Delay: time.Millisecond}}[i%4])
			p.Cut()
			p.HalfClose()
			p.Heal()
		}
	})
	working.Wait()
}
