package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

func TestOnlyDeclaredRoutesAreAllowed(t *testing.T) {
	body := requestBody(nil)
	for _, line := range []string{
		"GET /v1/messages?beta=true",
		"PUT /v1/messages?beta=true",
		"post /v1/messages?beta=true",
		"POST /v1/messages",
		"POST /v1/messages?beta=false",
		"POST /v1/messages?beta=true&x=1",
		"POST /v1/messages?beta=true?",
		"POST /v1/messages/?beta=true",
		"POST //v1/messages?beta=true",
		"POST /v1//messages?beta=true",
		"POST /v1/./messages?beta=true",
		"POST /v1/x/../messages?beta=true",
		"POST /v1/%6dessages?beta=true",
		"POST /v1/messages%3Fbeta=true",
		"POST /V1/messages?beta=true",
		"POST /v1/messages?beta=true%20",
		"POST /v1/files",
		"POST http://example.com/v1/messages?beta=true",
		"POST http://169.254.169.254/latest/meta-data",
		"OPTIONS *",
		"GET /",
	} {
		t.Run(line, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			w := openEndpoint(t, upstream, nil)
			got := w.roundTripRaw(fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", line, len(body), body))
			require.Equal(t, http.StatusForbidden, got.status)
			w.requireDenied(got, "not a route of the runtime")
		})
	}
}

func TestConnectAndUpgradeAreDenied(t *testing.T) {
	for name, request := range map[string]string{
		"connect": "CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: api.anthropic.com:443\r\n\r\n",
		"upgrade": "POST " + target + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}",
		"h2c":     "POST " + target + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nContent-Length: 2\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			w := openEndpoint(t, upstream, nil)
			w.requireDenied(w.roundTripRaw(request), "not a route of the runtime")
		})
	}
}

func TestBodyLengthIsRequiredAndBounded(t *testing.T) {
	line := "POST " + target + " HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct {
		request string
		status  int
		message string
	}{
		"chunked":   {line + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", http.StatusLengthRequired, "length is missing"},
		"too large": {line + "Content-Length: 70000\r\n\r\n", http.StatusRequestEntityTooLarge, "too large"},
		"encoded":   {line + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", http.StatusBadRequest, "encoded"},
		"empty":     {line + "Content-Length: 0\r\n\r\n", http.StatusBadRequest, "not a single, unambiguous JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			w := openEndpoint(t, upstream, func(s *gateway.Config) { s.MaxRequestSize = 65536 })
			got := w.roundTripRaw(c.request)
			require.Equal(t, c.status, got.status)
			w.requireDenied(got, c.message)
		})
	}
}

func TestLocalRoute(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, nil)
	request, err := http.NewRequest(http.MethodHead, "http://sandbox/", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, w.do(request).status)
	require.Empty(t, upstream.Requests())
	require.Equal(t, gateway.Summary{}, w.Summary())
}

func TestEmptyPolicyDeniesAll(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	noModels := openEndpointWithPolicy(t, upstream, gateway.Policy{Routes: policy.Routes}, nil)
	noModels.requireDenied(noModels.post(requestBody(nil)), "the model")
	noRoutes := openEndpointWithPolicy(t, upstream, gateway.Policy{Models: policy.Models}, nil)
	noRoutes.requireDenied(noRoutes.post(requestBody(nil)), "not a route of the runtime")
}

func TestHugeHeadersAreRejected(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, nil)
	request, err := http.NewRequest(http.MethodPost, "http://sandbox"+target, strings.NewReader(requestBody(nil)))
	require.NoError(t, err)
	request.Header.Set("X", strings.Repeat("x", 200<<10))
	// The kernel may reset the connection before the response arrives.
	if got, err := w.client.Do(request); err == nil {
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, got.StatusCode)
		require.NoError(t, got.Body.Close())
	}
	require.Empty(t, upstream.Requests())
}
