package api

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/ratelimit"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

// startOnSocket starts a server with its own listener, so that all limits of connections apply. configure is called
// before it starts.
func startOnSocket(t *testing.T, change func(*Config), configure ...func(*http.Server)) server {
	t.Helper()
	s := startServer(t, func(c *Config, _ *store.Store) { change(c) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	for _, f := range configure {
		f(s.echo.Server)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, l, time.Second) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-served)
	})
	s.url = "http://" + l.Addr().String()
	return s
}

// dial opens a connection without a client of HTTP.
func (s server) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second))) // much longer than any time-out of the test
	return c
}

const testClientTimeout = 100 * time.Millisecond

func withShortClientTimeout(c *Config) { c.Limits.ClientTimeout = testClientTimeout }

func TestSlowHeadersTimeOut(t *testing.T) {
	s := startOnSocket(t, withShortClientTimeout)
	c := s.dial(t)
	_, err := io.WriteString(c, "GET /agents HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	require.NoError(t, err)
	_, err = io.ReadAll(c)
	require.NoError(t, err, "the server closes the connection")
}

// The server does not wait for a body that arrives a byte at a time, whichever part of it reads the body.
func TestSlowBodiesTimeOut(t *testing.T) {
	s := startOnSocket(t, withShortClientTimeout)
	agent := s.createAgent()
	for name, request := range map[string]string{
		"read":     "POST /agents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"streamed": "POST /agents/" + agent.Id + "/batches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/jsonl\r\nTransfer-Encoding: chunked\r\n\r\n",
		"not read": "POST /executions/exe_0/cancel HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n",
		"hashed":   "POST /executions/exe_0/retry HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			_, err := io.WriteString(c, request)
			require.NoError(t, err)
			disconnected := make(chan struct{})
			go func() {
				defer close(disconnected)
				_, _ = io.Copy(io.Discard, c) // until the server closes the connection
			}()
			drop := time.NewTicker(testClientTimeout / 10)
			defer drop.Stop()
			for {
				select {
				case <-disconnected:
					return
				case <-drop.C:
					_, _ = io.WriteString(c, " ") // fails when the server has closed the connection
				}
			}
		})
	}
}

// A client that sends requests and reads no responses is disconnected.
func TestSlowReadersAreDisconnected(t *testing.T) {
	closed := make(chan struct{}, 1)
	s := startOnSocket(t, withShortClientTimeout, func(httpServer *http.Server) {
		httpServer.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				select {
				case closed <- struct{}{}:
				default:
				}
			}
		}
	})
	c := s.dial(t)
	go func() {
		for {
			if _, err := io.WriteString(c, "GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				return
			}
		}
	}()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the server did not disconnect the client")
	}
}

func TestHeaderLimits(t *testing.T) {
	s := startOnSocket(t, func(*Config) {})
	for name, headers := range map[string]string{
		"many":  strings.Repeat("X-A: b\r\n", maxHeaders+1),
		"large": "X-A: " + strings.Repeat("b", maxHeaderBytes+4096) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			_, err := io.WriteString(c, "GET /agents HTTP/1.1\r\nHost: localhost\r\n"+headers+"\r\n")
			require.NoError(t, err)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			defer res.Body.Close()
			require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
		})
	}
}

func TestConnectionLimit(t *testing.T) {
	s := startOnSocket(t, func(c *Config) { c.Limits.MaxConnections = 2 })
	idle := s.dial(t)
	s.dial(t)
	third := s.dial(t)
	_, err := io.WriteString(third, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, third.SetReadDeadline(time.Now().Add(testClientTimeout)))
	_, err = third.Read(make([]byte, 1))
	require.Error(t, err, "the third connection waits")
	require.NoError(t, idle.Close())
	require.NoError(t, third.SetReadDeadline(time.Now().Add(20*time.Second)))
	res, err := http.ReadResponse(bufio.NewReader(third), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
}

func TestDeeplyNestedJSONIsRejected(t *testing.T) {
	s := startOnSocket(t, func(*Config) {})
	agent := s.createAgent()
	depth := maxBodyBytes / 8
	for _, body := range []string{
		strings.Repeat("[", depth), strings.Repeat(`{"a":`, depth), strings.Repeat("[", depth) + strings.Repeat("]", depth),
		`{"name":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`, strings.Repeat(`{"name":`, 9000) + "1" + strings.Repeat("}", 9000),
	} {
		for _, to := range [][2]string{{"POST", "/agents"}, {"POST", "/api/conversation"}, {"PATCH", "/agents/" + agent.Id}, {"POST", "/agents/" + agent.Id + "/run"}} {
			got := s.do(to[0], to[1], body)
			require.Equal(t, http.StatusBadRequest, got.StatusCode, "%s", got.body)
		}
	}
}

// A few bytes of gzip can become any number of bytes. The server never holds many of them in memory.
func TestGzipBombsAreRejected(t *testing.T) {
	s := startOnSocket(t, func(*Config) {})
	agent := s.createAgent()
	for name, piece := range map[string]string{"one line": strings.Repeat(" ", 1<<20), "blank lines": strings.Repeat("\n", 1<<20), "wrong lines": strings.Repeat("{\n", 1<<19)} {
		t.Run(name, func(t *testing.T) {
			var member bytes.Buffer
			z := gzip.NewWriter(&member)
			_, err := io.WriteString(z, piece)
			require.NoError(t, err)
			require.NoError(t, z.Close())
			bomb := strings.Repeat(member.String(), maxBatchBytes>>20+1) // concatenated gzip members are one stream
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := s.do(http.MethodPost, "/agents/"+agent.Id+"/batches", bomb, "Content-Type", "application/jsonl", "Content-Encoding", "gzip")
			runtime.ReadMemStats(&after)
			require.Contains(t, []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge}, got.StatusCode, "%s", got.body)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), "allocated for %d MiB", maxBatchBytes>>20)
		})
	}
}

func TestTenantRateLimit(t *testing.T) {
	now := time.Unix(0, 0)
	g := startWithAPIKeys(t, func(c *Config, _ *store.Store) {
		c.Limits.Requests = ratelimit.NewBuckets(0.5, 3, func() time.Time { return now })
	})
	ada, adas, bob := g.issueKey("ada", tenant.ScopeRead), g.issueKey("ada", tenant.ScopeRead), g.issueKey("bob", tenant.ScopeRead)
	for range 3 {
		require.Equal(t, http.StatusOK, g.do(http.MethodGet, "/agents", "", ada...).StatusCode)
	}
	for _, key := range [][]string{ada, adas} {
		got := g.do(http.MethodGet, "/agents", "", key...)
		require.Equal(t, http.StatusTooManyRequests, got.StatusCode, "all keys of a tenant share its limit")
		require.Equal(t, contract.ProblemRateLimited, decodeProblem(t, got).Code)
		require.Equal(t, "2", got.Header.Get("Retry-After"))
	}
	require.Equal(t, http.StatusOK, g.do(http.MethodGet, "/agents", "", bob...).StatusCode)
	require.Equal(t, http.StatusOK, g.do(http.MethodGet, "/healthz", "", ada...).StatusCode)
	now = now.Add(2 * time.Second)
	require.Equal(t, http.StatusOK, g.do(http.MethodGet, "/agents", "", ada...).StatusCode)
}

func TestAuthFailureRateLimitByAddress(t *testing.T) {
	now := time.Unix(0, 0)
	_, loopback, err := net.ParseCIDR("127.0.0.1/32")
	require.NoError(t, err)
	g := startWithAPIKeys(t, func(c *Config, _ *store.Store) {
		c.Limits.AuthFailures = ratelimit.NewBuckets(1, 3, func() time.Time { return now })
		c.Limits.TrustedProxies = []*net.IPNet{loopback}
	})
	good := g.issueKey("ada", tenant.ScopeRead)
	as := func(address string, header []string) int {
		return g.do(http.MethodGet, "/agents", "", append(header, "X-Forwarded-For", address)...).StatusCode
	}
	for i := range 3 {
		require.Equal(t, http.StatusUnauthorized, as("2001:db8::"+fmt.Sprint(i), bearerHeader("alk_x")), "an IPv6 network counts as one address")
	}
	require.Equal(t, http.StatusTooManyRequests, as("2001:db8::9", bearerHeader("alk_x")))
	require.Equal(t, http.StatusOK, as("2001:db8::9", good), "a valid key does not share the limit of the wrong ones")
	require.Equal(t, http.StatusUnauthorized, as("192.0.2.1", bearerHeader("alk_x")), "another address has its own limit")
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, as("192.0.2.1", nil), "missing credentials are no failed authentication")
	}
	now = now.Add(time.Second)
	require.Equal(t, http.StatusUnauthorized, as("2001:db8::9", bearerHeader("alk_x")))
}

// A client that is no trusted proxy cannot choose its address.
func TestForwardedForIgnoredFromUntrustedProxy(t *testing.T) {
	g := startWithAPIKeys(t, func(c *Config, _ *store.Store) { c.Limits.AuthFailures = ratelimit.NewBuckets(0.001, 1, nil) })
	for i, status := range []int{http.StatusUnauthorized, http.StatusTooManyRequests} {
		got := g.do(http.MethodGet, "/agents", "", append(bearerHeader("alk_x"), "X-Forwarded-For", fmt.Sprintf("192.0.2.%d", i))...)
		require.Equal(t, status, got.StatusCode)
	}
}
