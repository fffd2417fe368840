package gateway_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

func TestUpstreamRequestIsRebuilt(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, nil)
	body := requestBody(nil)
	got := w.post(body,
		"X-Api-Key", "dummy", "Authorization", "Bearer dummy", "Cookie", "a=b", "X-Forwarded-For", "1.2.3.4",
		"Anthropic-Version", "2024-01-02", "Anthropic-Beta", "good-beta, evil-beta", "Anthropic-Beta", "fine-beta,good-beta",
		"User-Agent", "leaks something", "X-Stainless-Os", "Linux", "Accept-Encoding", "gzip",
	)
	require.Equal(t, http.StatusOK, got.status)

	requests := upstream.Requests()
	require.Len(t, requests, 1)
	sent := requests[0]
	require.Equal(t, "POST "+target, sent.Method+" "+sent.Target)
	require.Equal(t, body, string(sent.Raw), "the body is forwarded unchanged")
	require.Equal(t, key, sent.APIKey())
	require.Equal(t, "2024-01-02", sent.Header.Get("Anthropic-Version"))
	require.Equal(t, "good-beta,fine-beta", sent.Header.Get("Anthropic-Beta"))
	require.Equal(t,
		[]string{"Accept", "Anthropic-Beta", "Anthropic-Version", "Content-Length", "Content-Type", "User-Agent", "X-Api-Key"},
		slices.Sorted(maps.Keys(sent.Header)))
	require.Equal(t, "airlock-gateway", sent.Header.Get("User-Agent"))
}

func TestInvalidAPIVersionBecomesDefault(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, nil)
	w.post(requestBody(nil), "Anthropic-Version", "2023-06-01 and my secret")
	require.Equal(t, "2023-06-01", upstream.Requests()[0].Header.Get("Anthropic-Version"))
}

func TestUpstreamWithPath(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	w := openEndpoint(t, upstream, func(s *gateway.Config) { s.Upstream = s.Upstream.JoinPath("anthropic/") })
	require.Equal(t, http.StatusOK, w.post(requestBody(nil)).status)
	require.Equal(t, "/anthropic"+target, upstream.Requests()[0].Target)
}

func TestResponseHeadersAreFiltered(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Raw(http.StatusTooManyRequests, http.Header{
		"Content-Type": {"application/json"}, "Retry-After": {"7"}, "Request-Id": {"req_1"}, "Set-Cookie": {"a=b"},
		"Anthropic-Organization-Id": {"org"}, "Anthropic-Ratelimit-Tokens-Remaining": {"5"},
	}, `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`)))
	w := openEndpoint(t, upstream, nil)
	got := w.post(requestBody(nil))
	require.Equal(t, http.StatusTooManyRequests, got.status)
	require.Contains(t, got.body, "slow down")
	got.header.Del("Date")
	require.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "Retry-After": {"7"}, "Request-Id": {"req_1"}, "Content-Length": {"74"},
	}, got.header)
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Raw(http.StatusTemporaryRedirect, http.Header{"Location": {"/elsewhere"}}, "")))
	w := openEndpoint(t, upstream, nil)
	got := w.post(requestBody(nil))
	require.Equal(t, http.StatusBadGateway, got.status)
	require.Empty(t, got.header.Get("Location"))
	require.Len(t, upstream.Requests(), 1)
}

func TestEnvironmentProxyIsIgnored(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("NO_PROXY", "")
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	require.Equal(t, http.StatusOK, openEndpoint(t, upstream, nil).post(requestBody(nil)).status)
}

func TestRejectedKeyIsNotDisclosed(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Status(http.StatusUnauthorized, "authentication_error", "bad key "+key+" of organisation X")))
	w := openEndpoint(t, upstream, nil)
	got := w.post(requestBody(nil))
	require.Equal(t, http.StatusUnauthorized, got.status)
	require.NotContains(t, got.body, key)
	require.NotContains(t, got.body, "organisation")
	require.Equal(t, http.StatusUnauthorized, w.Summary().LastStatus)
	require.Equal(t, gateway.Tokens{}, w.Summary().Tokens)
}

func TestAccessLogHasOneLinePerCallAndNoSecrets(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	upstream := startModel(t, modelstub.Always(modelstub.Text("a secret answer")))
	w := openEndpoint(t, upstream, func(s *gateway.Config) { s.Log = zap.New(core) })
	w.post(requestBody(map[string]any{"system": "a secret prompt"}))
	w.post(`{"model":"other","messages":[]}`)

	lines := logs.All()
	require.Len(t, lines, 2)
	for _, line := range lines {
		fields := line.ContextMap()
		require.Equal(t, "exe_1", fields["execution"])
		require.Contains(t, fields, "took")
		for _, value := range fields {
			require.NotContains(t, fmt.Sprint(value), key)
			require.NotContains(t, fmt.Sprint(value), "secret")
		}
	}
	require.EqualValues(t, http.StatusOK, lines[0].ContextMap()["upstreamStatus"])
	require.Contains(t, lines[1].ContextMap()["denied"], "not allowed")
}

func TestSettingsReportAllErrors(t *testing.T) {
	_, err := gateway.New(gateway.Config{Upstream: &url.URL{Scheme: "ftp", Host: "x"}, MaxRequestSize: -1})
	require.ErrorContains(t, err, "http or https")
	require.ErrorContains(t, err, "API key is missing")
	require.ErrorContains(t, err, "negative")

	for _, bad := range []string{"http://api.anthropic.com", "https://user:pw@x", "https://x?y=1", "https://x#y", "x"} {
		u, err := url.Parse(bad)
		require.NoError(t, err)
		_, err = gateway.New(gateway.Config{Upstream: u, APIKey: key})
		require.Error(t, err, bad)
	}
}
