package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// startStream sends a request and returns after the first event of the response.
func (w *testEndpoint) startStream(ctx context.Context) (*http.Response, *bufio.Reader) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sandbox"+target, strings.NewReader(requestBody(nil)))
	require.NoError(w.t, err)
	got, err := w.client.Do(request)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = got.Body.Close() })
	lines := bufio.NewReader(got.Body)
	line, err := lines.ReadString('\n')
	require.NoError(w.t, err)
	require.Equal(w.t, "event: message_start\n", line)
	return got, lines
}

func TestEventsAreForwardedImmediately(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Stall("hello")))
	w := openEndpoint(t, upstream, nil)
	got, lines := w.startStream(t.Context())
	require.Equal(t, "text/event-stream; charset=utf-8", got.Header.Get("Content-Type"))
	for {
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		if strings.Contains(line, "hello") {
			return // the stand-in never ends the stream
		}
	}
}

func TestSandboxDisconnectCancelsUpstream(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Stall("hello")))
	w := openEndpoint(t, upstream, nil)
	ctx, cancel := context.WithCancel(t.Context())
	w.startStream(ctx)
	cancel()
	awaitDisconnect(t, upstream)
}

func TestCloseCancelsUpstream(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Hang()))
	w := openEndpoint(t, upstream, nil)
	status := make(chan int, 1)
	go func() {
		got, err := w.client.Post("http://sandbox"+target, "application/json", strings.NewReader(requestBody(nil)))
		if err != nil {
			status <- 0
			return
		}
		_ = got.Body.Close()
		status <- got.StatusCode
	}()
	<-upstream.Received()
	require.NoError(t, w.Close())
	awaitDisconnect(t, upstream)
	require.Contains(t, []int{0, http.StatusBadGateway}, <-status, "the connection is reset, or the response is an error")
	require.EqualValues(t, 1, w.Summary().EstimatedCalls, "the summary is final once Close returns")
	require.NoError(t, w.Close(), "a second Close does nothing")

	_, err := net.Dial("unix", w.socket)
	require.Error(t, err, "the listener is closed")
}

func TestServeAfterCloseReturns(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	g, err := gateway.New(gateway.Config{Upstream: upstream.URL(), APIKey: key})
	require.NoError(t, err)
	s := g.OpenEndpoint(context.Background(), "exe_1", policy)
	require.NoError(t, s.Close())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, s.Serve(listener))
	_, err = listener.Accept()
	require.ErrorIs(t, err, net.ErrClosed, "Serve owns the listener")
}

func awaitDisconnect(t *testing.T, upstream *modelstub.Server) {
	t.Helper()
	select {
	case <-upstream.Disconnected():
	case <-time.After(patience):
		t.Fatal("the upstream request continues")
	}
}

func TestResponseTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		answer modelstub.Response
		change func(*gateway.Config)
		status int // to the sandbox; a stream has already sent 200
		says   string
		broken bool // the connection to the sandbox
	}{
		"no answer": {
			modelstub.Hang(), func(s *gateway.Config) { s.CallTimeout = 50 * time.Millisecond },
			http.StatusGatewayTimeout, `"type":"timeout_error"`, false,
		},
		"a stall in the middle": {
			modelstub.Stall("hello"), func(s *gateway.Config) { s.IdleTimeout = time.Second },
			http.StatusOK, "hello", true,
		},
		"too long": {
			modelstub.Stall("hello"), func(s *gateway.Config) { s.CallTimeout = time.Second },
			http.StatusOK, "\n\nevent: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"timeout_error\",\"message\":\"airlock gateway: the response took too long",
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := startModel(t, modelstub.Always(c.answer))
			w := openEndpoint(t, upstream, c.change)
			got := w.post(requestBody(nil))
			require.Equal(t, c.status, got.status)
			require.Contains(t, got.body, c.says)
			require.Equal(t, c.broken, got.broken)
			require.Equal(t, !c.broken && c.status == http.StatusOK, strings.Contains(got.body, "event: error"))
			awaitDisconnect(t, upstream)
			s := closeAndSummarize(t, w)
			require.Equal(t, http.StatusGatewayTimeout, s.LastStatus)
			require.True(t, s.LastCallFailed())
			require.EqualValues(t, 1, s.EstimatedCalls)
		})
	}
}

// closeAndSummarize returns the summary after all requests have ended.
func closeAndSummarize(t *testing.T, w *testEndpoint) gateway.Summary {
	t.Helper()
	require.NoError(t, w.Close())
	return w.Summary()
}

func TestUpstreamUnreachable(t *testing.T) {
	upstream := modelstub.Start(modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, nil)
	upstream.Close()
	got := w.post(requestBody(nil))
	require.Equal(t, http.StatusBadGateway, got.status)
	require.NotContains(t, got.body, "127.0.0.1", "the response contains nothing about the operator's network")
	s := closeAndSummarize(t, w)
	require.True(t, s.LastCallFailed())
	require.Zero(t, s.EstimatedCalls, "a request that was not sent costs nothing")
	require.Zero(t, s.Tokens)
}

func TestLargeResponsesAreCompleteAndBounded(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 1<<16)
	for name, stream := range map[string]bool{"stream": true, "whole": false} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text(text)))
			got := openEndpoint(t, upstream, nil).post(requestBody(map[string]any{"stream": stream}))
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, len(text), strings.Count(got.body, "0123456789abcdef")*16)

			small := openEndpoint(t, upstream, func(s *gateway.Config) { s.MaxResponseSize = 1 << 18 })
			got = small.post(requestBody(map[string]any{"stream": stream}))
			require.Contains(t, got.body, "the response is too large")
			require.Less(t, len(got.body), 1<<19)
		})
	}
}

func TestConcurrentCalls(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, nil)
	const calls = 50
	results := make(chan error, calls)
	for range calls {
		go func() {
			got, err := w.client.Post("http://sandbox"+target, "application/json", strings.NewReader(requestBody(nil)))
			if err == nil {
				_, err = io.Copy(io.Discard, got.Body)
				err = errors.Join(err, got.Body.Close())
			}
			results <- err
		}()
	}
	for range calls {
		require.NoError(t, <-results)
	}
	s := closeAndSummarize(t, w)
	require.EqualValues(t, calls, s.Calls)
	require.EqualValues(t, calls*100, s.Tokens.Input)
	require.EqualValues(t, calls*20, s.Tokens.Output)
}

func TestMissingBodyTimesOut(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, func(s *gateway.Config) { s.BodyTimeout = 50 * time.Millisecond })
	got := w.roundTripRaw("POST " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	require.Equal(t, http.StatusBadRequest, got.status)
	w.requireDenied(got, "could not be read")
}

func TestConcurrentLargeBodiesAreLimited(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, func(s *gateway.Config) { s.MaxRequestSize = 1000 })
	for range 2 { // the limit of an endpoint
		conn, err := net.Dial("unix", w.socket)
		require.NoError(t, err)
		defer conn.Close()
		_, err = io.WriteString(conn, "POST "+target+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
		require.NoError(t, err)
		line, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "100 Continue", "the gateway has begun to read it")
	}
	require.Equal(t, http.StatusTooManyRequests, w.post(requestBody(nil)).status)
}

func TestSandboxDoesNotReadResponse(t *testing.T) {
	// More than the buffers of the kernel.
	upstream := startModel(t, modelstub.Always(modelstub.Text(strings.Repeat("x", 30<<20))))
	w := openEndpoint(t, upstream, func(s *gateway.Config) { s.IdleTimeout = 100 * time.Millisecond })
	conn, err := net.Dial("unix", w.socket)
	require.NoError(t, err)
	defer conn.Close()
	body := requestBody(nil)
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
	require.NoError(t, err)
	awaitDisconnect(t, upstream)
	require.EqualValues(t, 1, closeAndSummarize(t, w).EstimatedCalls)
}

func TestOneConnectionServesManyRequests(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, func(s *gateway.Config) {
		s.BodyTimeout, s.IdleTimeout = time.Second, time.Second
	})
	conn, err := net.Dial("unix", w.socket)
	require.NoError(t, err)
	defer conn.Close()
	answers := bufio.NewReader(conn)
	body := requestBody(map[string]any{"stream": false})
	for range 3 {
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
		require.NoError(t, err)
		got, err := http.ReadResponse(answers, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, got.Body)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		// The deadlines of one request pass and must not apply to the connection.
		<-time.After(1100 * time.Millisecond)
	}
	require.EqualValues(t, 3, closeAndSummarize(t, w).Calls)
}

func TestUpstreamTLSAndHTTP2(t *testing.T) {
	upstream := modelstub.StartTLS(modelstub.Sequence(modelstub.Text(strings.Repeat("Z", 1<<20)), modelstub.Stall("hello")))
	t.Cleanup(upstream.Close)
	w := openEndpoint(t, upstream, func(s *gateway.Config) { s.RootCAs = upstream.RootCAs(); s.IdleTimeout = 2 * time.Second })
	got := w.post(requestBody(nil))
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, 1<<20, strings.Count(got.body, "Z"))
	require.Equal(t, "HTTP/2.0", upstream.Requests()[0].Proto)

	require.True(t, w.post(requestBody(nil)).broken, "the response stalled")
	awaitDisconnect(t, upstream)
	require.Equal(t, http.StatusGatewayTimeout, w.Summary().LastStatus)

	strict := openEndpoint(t, upstream, nil)
	require.Equal(t, http.StatusBadGateway, strict.post(requestBody(nil)).status, "the certificate authority is unknown")
}
