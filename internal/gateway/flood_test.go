package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// pipeListener is a listener in memory, so that its connections live in the time of a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

// dial returns nil after the listener is closed.
func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client
	case <-l.closed:
		return nil
	}
}

const floodTarget = "/v1/messages"

func newFloodEndpoint(t *testing.T, change func(*Config)) (*Endpoint, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	config := Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, APIKey: "k", Log: zap.New(core)}
	if change != nil {
		change(&config)
	}
	g, err := New(config)
	require.NoError(t, err)
	return g.OpenEndpoint(context.Background(), "exe_1", Policy{
		Routes: []Route{{Method: http.MethodHead, Target: "/", Local: true}, {Method: http.MethodPost, Target: floodTarget}},
	}), logs
}

// most returns the most events in any second.
func most(events []time.Time) int {
	found := 0
	for i, first := range events {
		n := len(events[i:])
		if end := slices.IndexFunc(events[i:], func(at time.Time) bool { return at.Sub(first) >= time.Second }); end >= 0 {
			n = end
		}
		found = max(found, n)
	}
	return found
}

// However a job sends its requests, the gateway serves at most 50 in any second, refuses none, and writes 100 lines and
// a summary.
func TestFloodIsLimited(t *testing.T) {
	const pipelined = "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, c := range map[string]struct {
		connections int
		request     string
		reconnect   bool // a new connection for each request
		logged      bool
	}{
		"one connection":              {1, pipelined, false, true},
		"many connections":            {maxConnections, pipelined, false, true},
		"too many connections":        {2 * maxConnections, pipelined, false, true},
		"reconnecting":                {8, pipelined, true, true},
		"denied requests":             {8, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", true, true},
		"requests that no one parses": {8, "no request\r\n\r\n", true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const duration = 20 * time.Second
				e, logs := newFloodEndpoint(t, nil)
				listener := newPipeListener()
				var job, serving sync.WaitGroup
				serving.Go(func() { _ = e.Serve(listener) })
				var mu sync.Mutex
				var responses []time.Time
				flood := func(conn net.Conn) {
					defer conn.Close()
					job.Go(func() { // pipelines requests until the connection is closed
						for {
							if _, err := io.WriteString(conn, c.request); err != nil {
								return
							}
						}
					})
					from := bufio.NewReader(conn)
					for {
						got, err := http.ReadResponse(from, &http.Request{Method: http.MethodHead})
						if err != nil {
							return
						}
						mu.Lock()
						responses = append(responses, time.Now())
						mu.Unlock()
						if c.reconnect || got.Close {
							return
						}
					}
				}
				for range c.connections {
					job.Go(func() {
						for conn := listener.dial(); conn != nil; conn = listener.dial() {
							flood(conn)
						}
					})
				}
				time.Sleep(duration)
				require.NoError(t, e.Close())
				require.NoError(t, listener.Close())
				serving.Wait()
				job.Wait()

				require.LessOrEqual(t, most(responses), 50)
				require.Greater(t, len(responses), 30*int(duration/time.Second), "an agent can send that many")
				if !c.logged {
					require.Zero(t, logs.Len())
					return
				}
				lines := logs.FilterMessage("egress").Len()
				require.Equal(t, maxLogLines, lines)
				summaries := logs.FilterMessage("egress: further lines were left out").All()
				require.Len(t, summaries, 1)
				require.Equal(t, maxLogLines+1, logs.Len())
				requests := summaries[0].ContextMap()["requests"].(int64)
				require.Equal(t, requests-maxLogLines, summaries[0].ContextMap()["omittedLines"])
				require.GreaterOrEqual(t, requests, int64(len(responses)))
			})
		})
	}
}

// An endpoint that writes few lines writes no summary.
func TestFewRequestsHaveNoSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, logs := newFloodEndpoint(t, nil)
		for range maxLogLines {
			e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodHead, "/", nil))
		}
		require.NoError(t, e.Close())
		require.NoError(t, e.Close())
		require.Equal(t, maxLogLines, logs.Len())
	})
}

// The bytes of bodies are limited as well, because each of them is inspected.
func TestFloodOfLargeBodiesIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bodies, size = 20, 16 << 20
		e, _ := newFloodEndpoint(t, func(c *Config) { c.MaxRequestSize = size })
		began := time.Now()
		for range bodies {
			body := struct{ io.Reader }{strings.NewReader("{}")} // shorter than declared, so that nothing large is parsed
			request := httptest.NewRequest(http.MethodPost, floodTarget, body)
			request.ContentLength = size
			e.ServeHTTP(deadlines{httptest.NewRecorder()}, request)
		}
		require.GreaterOrEqual(t, time.Since(began), (bodies-2)*size/maxBodyRate*time.Second)
		require.NoError(t, e.Close())
	})
}

// Requests that wait for the rate end with the endpoint.
func TestCloseEndsWaitingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := newFloodEndpoint(t, nil)
		var waiting sync.WaitGroup
		for range 10 * maxBurst {
			waiting.Go(func() {
				defer func() { _ = recover() }() // http.ErrAbortHandler
				e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodHead, "/", nil))
			})
		}
		synctest.Wait()
		began := time.Now()
		require.NoError(t, e.Close())
		waiting.Wait()
		require.Zero(t, time.Since(began))
		require.EqualValues(t, maxBurst, e.requestCount.Load())
	})
}

// deadlines is a response of which the deadlines can be set.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetReadDeadline(time.Time) error  { return nil }
func (deadlines) SetWriteDeadline(time.Time) error { return nil }

// panickingWriter panics when the body of a response is written.
type panickingWriter struct{ deadlines }

func (panickingWriter) Write([]byte) (int, error) { panic("a bug") }

// A panic ends its own request. Its reservation does not stay, its connection does not go on with half a response, and
// the next request is served.
func TestPanicEndsOneRequest(t *testing.T) {
	body := `{"model":"m","max_tokens":600,"messages":[]}`
	post := func() *http.Request {
		return httptest.NewRequest(http.MethodPost, floodTarget, strings.NewReader(body))
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"model":"m","usage":{"input_tokens":1,"output_tokens":2}}`)
	}))
	defer provider.Close()
	upstream, err := url.Parse(provider.URL)
	require.NoError(t, err)
	e, logs := newFloodEndpoint(t, func(c *Config) { c.Upstream = upstream })
	defer e.gateway.Close()
	e.policy.Models, e.budget.budget.Tokens = []string{"m"}, 1000

	setAuth := e.gateway.spec.setAuth
	e.gateway.spec.setAuth = func(http.Header, http.Header, string) { panic("a bug") }
	response := deadlines{httptest.NewRecorder()}
	e.ServeHTTP(response, post()) // panics before the response
	require.Equal(t, http.StatusInternalServerError, response.Code)
	require.Contains(t, response.Body.String(), "the gateway failed")
	e.gateway.spec.setAuth = setAuth

	require.PanicsWithValue(t, http.ErrAbortHandler, func() { // panics within the response
		e.ServeHTTP(panickingWriter{deadlines{httptest.NewRecorder()}}, post())
	})
	require.Zero(t, e.budget.reservedTokens)
	require.InDelta(t, 0, e.budget.reservedCost, 1e-12)

	response = deadlines{httptest.NewRecorder()}
	e.ServeHTTP(response, post())
	require.Equal(t, http.StatusOK, response.Code)
	require.NoError(t, e.Close(), "no request is left")
	s := e.Summary()
	require.EqualValues(t, 3, s.Calls)
	require.Equal(t, Tokens{Input: 2, Output: 4}, s.Tokens, "the complete response is charged, the unsent request is not")
	panics := logs.FilterMessage("egress request panicked").All()
	require.Len(t, panics, 2)
	require.Contains(t, fmt.Sprint(panics[0].ContextMap()["error"]), "a bug")
}
