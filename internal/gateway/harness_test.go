package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key    = "sk-real-key-of-the-operator"
	model  = "claude-sonnet-4-5"
	target = "/v1/messages?beta=true"
	// patience is how long a test waits for an event. It expires only if the test fails.
	patience = 20 * time.Second
)

var policy = gateway.Policy{
	Routes: []gateway.Route{
		{Method: http.MethodPost, Target: target},
		{Method: http.MethodPost, Target: "/v1/messages/count_tokens?beta=true"},
		{Method: http.MethodHead, Target: "/", Local: true},
	},
	Models: []string{model, "claude-of-tomorrow"},
	Betas:  []string{"good-beta", "fine-beta"},
}

// testEndpoint is an endpoint with the client end of its socket, as a sandbox has it.
type testEndpoint struct {
	*gateway.Endpoint
	t        *testing.T
	upstream *modelstub.Server // nil if the endpoint was opened with openEndpointWithContext
	socket   string
	client   *http.Client
}

// openEndpoint opens an endpoint whose upstream is the stand-in.
func openEndpoint(t *testing.T, upstream *modelstub.Server, change func(*gateway.Config)) *testEndpoint {
	t.Helper()
	return openEndpointWithPolicy(t, upstream, policy, change)
}

func openEndpointWithPolicy(t *testing.T, upstream *modelstub.Server, p gateway.Policy, change func(*gateway.Config)) *testEndpoint {
	t.Helper()
	settings := gateway.Config{Upstream: upstream.URL(), APIKey: key}
	if change != nil {
		change(&settings)
	}
	w := openEndpointWithContext(context.Background(), t, settings, p)
	w.upstream = upstream
	return w
}

// openEndpointWithContext opens an endpoint whose calls belong to ctx's trace.
func openEndpointWithContext(ctx context.Context, t *testing.T, settings gateway.Config, p gateway.Policy) *testEndpoint {
	t.Helper()
	g, err := gateway.New(settings)
	require.NoError(t, err)
	t.Cleanup(g.Close)

	socket := filepath.Join(t.TempDir(), "egress.sock")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	s := g.OpenEndpoint(ctx, "exe_1", p)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()

	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
	})
	return &testEndpoint{Endpoint: s, t: t, socket: socket, client: &http.Client{Transport: transport}}
}

func startModel(t *testing.T, script modelstub.Script) *modelstub.Server {
	t.Helper()
	s := modelstub.Start(script)
	t.Cleanup(s.Close)
	return s
}

// requestBody returns the body of a request. Fields override the defaults or are added.
func requestBody(fields map[string]any) string {
	body := map[string]any{
		"model": model, "max_tokens": 1000, "stream": true,
		"messages": []any{map[string]any{"role": "user", "content": "hello"}},
	}
	for name, value := range fields {
		body[name] = value
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(data)
}

type response struct {
	status int
	header http.Header
	body   string
	broken bool // the connection ended before the body
}

func readResponse(t *testing.T, got *http.Response) response {
	t.Helper()
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	broken := errors.Is(err, io.ErrUnexpectedEOF)
	if !broken {
		require.NoError(t, err)
	}
	return response{got.StatusCode, got.Header, string(body), broken}
}

func (w *testEndpoint) post(body string, header ...string) response {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, "http://sandbox"+target, strings.NewReader(body))
	require.NoError(w.t, err)
	for i := 0; i < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	return w.do(request)
}

func (w *testEndpoint) do(request *http.Request) response {
	w.t.Helper()
	got, err := w.client.Do(request)
	require.NoError(w.t, err)
	return readResponse(w.t, got)
}

// roundTripRaw sends exactly these bytes and reads one response.
func (w *testEndpoint) roundTripRaw(request string) response {
	w.t.Helper()
	conn, err := net.Dial("unix", w.socket)
	require.NoError(w.t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, request)
	require.NoError(w.t, err)
	got, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(w.t, err)
	return readResponse(w.t, got)
}

// requireDenied requires that the endpoint sent nothing upstream and that its only response is an error of the API's
// shape.
func (w *testEndpoint) requireDenied(got response, message string) {
	w.t.Helper()
	var body struct {
		Type  string
		Error struct{ Type, Message string }
	}
	require.NoError(w.t, json.Unmarshal([]byte(got.body), &body), got.body)
	require.Equal(w.t, "error", body.Type)
	require.NotEmpty(w.t, body.Error.Type)
	require.Contains(w.t, body.Error.Message, message)
	require.Equal(w.t, "false", got.header.Get("X-Should-Retry"))
	require.Empty(w.t, w.upstream.Requests())
	s := w.Summary()
	require.Zero(w.t, s.Calls)
	require.EqualValues(w.t, 1, s.Denied)
	require.Contains(w.t, s.LastDenial, message)
	require.True(w.t, s.LastCallFailed())
}
