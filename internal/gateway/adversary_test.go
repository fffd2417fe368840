package gateway_test

import (
	"bufio"
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

// sendRaw sends exactly these bytes and returns the statuses of all responses. After the expected number of responses
// it sends an invalid request, which makes the gateway close the connection, so that an additional response is
// detected.
func (w *testEndpoint) sendRaw(bytes string, expected int) (statuses []int) {
	w.t.Helper()
	conn, err := net.Dial("unix", w.socket)
	require.NoError(w.t, err)
	defer conn.Close()
	require.NoError(w.t, conn.SetDeadline(time.Now().Add(patience)))
	_, _ = io.WriteString(conn, bytes) // the gateway may close the connection before it has read everything
	responses := bufio.NewReader(conn)
	for {
		if len(statuses) == expected {
			_, _ = io.WriteString(conn, "no request\r\n\r\n")
		}
		got, err := http.ReadResponse(responses, nil)
		if err != nil {
			return statuses
		}
		if len(statuses) == expected && got.StatusCode == http.StatusBadRequest {
			return statuses // the response to the invalid request
		}
		statuses = append(statuses, got.StatusCode)
		if _, err = io.Copy(io.Discard, got.Body); err != nil {
			return statuses
		}
	}
}

// For any bytes from a sandbox, upstream receives either nothing or an allowed request: the runtime's request line, for
// the configured host, with the operator's key and no other, and with the inspected body.
func TestAdversarialRequests(t *testing.T) {
	body := requestBody(nil)
	const line = "POST " + target + " HTTP/1.1\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	valid := line + "Host: x\r\n" + length + "\r\n" + body
	files := "GET /v1/files HTTP/1.1\r\nHost: x\r\n\r\n"
	request := func(headers ...string) string {
		return line + strings.Join(append(headers, "Host: x", strings.TrimSuffix(length, "\r\n")), "\r\n") + "\r\n\r\n" + body
	}
	for name, c := range map[string]struct {
		sends    string
		answered []int
		passes   int // requests that reach upstream
	}{
		"valid": {valid, []int{200}, 1},

		"another path":          {"POST /v1/files HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body, []int{403}, 0},
		"an encoded path":       {"POST /v1/%6dessages?beta=true HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body, []int{403}, 0},
		"an encoded slash":      {"POST /v1%2fmessages?beta=true HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body, []int{403}, 0},
		"a path with dots":      {"POST /v1/files/../messages?beta=true HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body, []int{403}, 0},
		"a path and a fragment": {"POST " + target + "#x HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body, []int{403}, 0},
		"a raw byte":            {"POST /v1/messages\xff?beta=true HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body, []int{403}, 0},
		"another method":        {"DELETE " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{403}, 0},
		"a made-up method":      {"POST! " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{403}, 0},
		"TRACE":                 {"TRACE " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{403}, 0},
		"CONNECT":               {"CONNECT api.anthropic.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", []int{403}, 0},

		"another host":          {line + "Host: evil.example\r\n" + length + "\r\n" + body, []int{200}, 1},
		"a host in the target":  {"POST http://evil.example" + target + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body, []int{403}, 0},
		"a host before an @":    {"POST http://x@169.254.169.254" + target + " HTTP/1.1\r\nHost: x\r\n" + length + "\r\n" + body, []int{403}, 0},
		"two hosts":             {line + "Host: x\r\nHost: evil.example\r\n" + length + "\r\n" + body, []int{400}, 0},
		"no host":               {line + length + "\r\n" + body, []int{400}, 0},
		"a forwarded host":      {request("X-Forwarded-Host: evil.example", "Forwarded: host=evil.example", "X-Original-Url: /v1/files"), []int{200}, 1},
		"another key":           {request("X-Api-Key: sk-mine"), []int{200}, 1},
		"another authorisation": {request("Authorization: Bearer sk-mine", "Proxy-Authorization: Basic eDp5", "Cookie: a=b"), []int{200}, 1},
		"two keys":              {request("X-Api-Key: sk-mine", "x-api-key: sk-other"), []int{200}, 1},
		"a key as a hop header": {request("Connection: X-Api-Key, keep-alive"), []int{200}, 1},
		"a beta with a control": {request("Anthropic-Beta: good-beta\x01evil"), []int{400}, 0},

		"length and chunks":        {line + "Host: x\r\n" + length + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + files, []int{411}, 0},
		"chunks and length":        {line + "Host: x\r\nTransfer-Encoding: chunked\r\n" + length + "\r\n0\r\n\r\n" + files, []int{411}, 0},
		"an unknown coding":        {line + "Host: x\r\nTransfer-Encoding: xchunked\r\n" + length + "\r\n" + body, []int{501}, 0},
		"two codings":              {line + "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", []int{501}, 0},
		"two lengths":              {line + "Host: x\r\n" + length + "Content-Length: 3\r\n\r\n" + body, []int{400}, 0},
		"a list of lengths":        {line + "Host: x\r\nContent-Length: 3, 3\r\n\r\n{}\n", []int{400}, 0},
		"a length with a sign":     {line + "Host: x\r\nContent-Length: +2\r\n\r\n{}", []int{400}, 0},
		"a negative length":        {line + "Host: x\r\nContent-Length: -1\r\n\r\n{}", []int{400}, 0},
		"a space before the colon": {line + "Host: x\r\nContent-Length : 2\r\n\r\n{}", []int{400}, 0},
		"a length too small":       {line + "Host: x\r\nContent-Length: 5\r\n\r\n" + body + files, []int{400}, 0},
		"a length too large":       {line + "Host: x\r\nContent-Length: 9999\r\n\r\n" + body, []int{400}, 0},
		"a request in a body":      {line + "Host: x\r\nContent-Length: 2\r\n\r\n{}" + files, []int{400}, 0},
		"a second request":         {valid + files, []int{200, 403}, 1},
		"one after a denial":       {files + valid, []int{403}, 0},
		"encoded bytes":            {request("Content-Encoding: gzip"), []int{400}, 0},

		"a huge header":     {request("X: " + strings.Repeat("x", 200<<10)), []int{431}, 0},
		"many headers":      {request(strings.Split(strings.Repeat("X: y\n", 50_000)+"X: y", "\n")...), []int{431}, 0},
		"a huge line":       {"POST /" + strings.Repeat("x", 200<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431}, 0},
		"a NUL in a header": {request("X: a\x00b"), []int{400}, 0},
		"HTTP/2":            {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{403}, 0},
		"HTTP/0.9":          {"GET /\r\n\r\n", []int{400}, 0},
		"TLS":               {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", []int{400}, 0},
		"an upgrade":        {request("Connection: Upgrade", "Upgrade: websocket"), []int{403}, 0},
		"an expectation":    {request("Expect: 200-ok"), []int{417}, 0},
		"nothing":           {"", nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			w := openEndpoint(t, upstream, func(s *gateway.Config) { s.BodyTimeout = 200 * time.Millisecond })
			answered := w.sendRaw(c.sends, len(c.answered))
			// The kernel may reset the connection before the response arrives.
			if len(answered) > 0 || c.passes > 0 || len(c.answered) == 0 {
				require.Equal(t, c.answered, answered)
			}
			requests := upstream.Requests()
			require.Len(t, requests, c.passes)
			for _, r := range requests {
				require.Equal(t, "POST "+target, r.Method+" "+r.Target)
				require.Equal(t, upstream.URL().Host, r.Host)
				require.Equal(t, []string{key}, r.Header["X-Api-Key"])
				require.NotContains(t, r.Header, "Authorization")
				require.Equal(t, body, string(r.Raw))
			}
		})
	}
}

// For any behaviour of upstream, the sandbox gets a bounded response in bounded time, which contains nothing about the
// operator, and the call is counted.
func TestAdversarialUpstreams(t *testing.T) {
	elsewhere := startModel(t, modelstub.Always(modelstub.Text("from elsewhere")))
	redirect := func(status int) modelstub.Response {
		return modelstub.Raw(status, http.Header{"Location": {elsewhere.URL().String() + target}}, "")
	}
	event := http.Header{"Content-Type": {"text/event-stream"}}
	for name, c := range map[string]struct {
		answer modelstub.Response
		status int // to the sandbox
		says   string
		last   int // Summary.LastStatus
		broken bool
	}{
		"redirects permanently":      {redirect(301), 502, "redirect", 301, false},
		"redirects with the body":    {redirect(307), 502, "redirect", 307, false},
		"says see other":             {redirect(303), 502, "redirect", 303, false},
		"never answers":              {modelstub.Hang(), 504, "took too long", 504, false},
		"stalls in the middle":       {modelstub.Stall("hello"), 200, "hello", 504, true},
		"resets in the middle":       {modelstub.ResetMidStream("hello"), 200, "hello", 0, true},
		"resets before the response": {modelstub.Reset(), 502, "could not be reached", 0, false},
		"sends too much":             {modelstub.Text(strings.Repeat("x", 1<<20)), 200, "the response is too large", 502, false},
		"sends too much, no stream":  {modelstub.Raw(200, nil, strings.Repeat("x", 1<<20)), 502, "the response is too large", 502, false},
		"has huge headers":           {modelstub.Raw(200, http.Header{"X": {strings.Repeat("x", 128<<10)}}, ""), 502, "could not be reached", 0, false},
		"mentions the key":           {modelstub.Status(401, "authentication_error", "no such key: "+key), 401, "rejects the operator's API key", 401, false},
		"mentions the account":       {modelstub.Status(403, "permission_error", "organisation of "+key), 403, "rejects the operator's API key", 403, false},
		"is overloaded":              {modelstub.Status(529, "overloaded_error", "busy"), 529, "busy", 529, false},
		"sends an invalid stream":    {modelstub.Raw(200, event, "data: {]\n\ndata: \xff\n\nnot even an event"), 200, "not even", 0, true},
		"fails in a stream":          {modelstub.Raw(200, event, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n"), 200, "overloaded", 529, false},
		"reports negative usage":     {modelstub.Response{Usage: map[string]any{"input_tokens": -1000, "output_tokens": -1}}, 200, "message_start", 200, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := startModel(t, modelstub.Always(c.answer))
			w := openEndpoint(t, upstream, func(s *gateway.Config) {
				s.CallTimeout, s.IdleTimeout, s.MaxResponseSize = time.Minute, time.Minute, 256<<10
				if c.last == http.StatusGatewayTimeout { // no other case may time out, also on a busy machine
					s.CallTimeout, s.IdleTimeout = 2*time.Second, 200*time.Millisecond
				}
			})
			got := w.post(requestBody(nil))
			require.Equal(t, c.status, got.status)
			require.Equal(t, c.broken, got.broken)
			require.Contains(t, got.body, c.says)
			require.NotContains(t, got.body+fmt.Sprint(got.header), key)
			require.NotContains(t, got.body, upstream.URL().Host)
			require.Empty(t, got.header.Get("Location"))
			require.Less(t, len(got.body), 512<<10)
			s := closeAndSummarize(t, w)
			require.EqualValues(t, 1, s.Calls)
			require.Equal(t, c.last, s.LastStatus)
			require.GreaterOrEqual(t, s.Tokens.Total(), int64(0))
			require.GreaterOrEqual(t, s.CostUSD, 0.0)
		})
	}
	require.Empty(t, elsewhere.Requests(), "a redirect is not followed")
}

// The smaller of the operator's and the agent's limits applies.
func TestSmallerBudgetApplies(t *testing.T) {
	for name, c := range map[string]struct{ operators, agents, applies gateway.Budget }{
		"none":           {},
		"the operator's": {gateway.Budget{Tokens: 100}, gateway.Budget{}, gateway.Budget{Tokens: 100}},
		"the agent's":    {gateway.Budget{}, gateway.Budget{Tokens: 100}, gateway.Budget{Tokens: 100}},
		"the smaller":    {gateway.Budget{Tokens: 100}, gateway.Budget{Tokens: 1 << 40}, gateway.Budget{Tokens: 100}},
		"each by itself": {gateway.Budget{Tokens: 1 << 40, CostUSD: 0.0001}, gateway.Budget{Tokens: 100, CostUSD: 9}, gateway.Budget{Tokens: 100, CostUSD: 0.0001}},
		"negative":       {gateway.Budget{Tokens: 100}, gateway.Budget{Tokens: -5}, gateway.Budget{Tokens: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			p := policy
			p.Budget = c.agents
			w := openEndpointWithPolicy(t, upstream, p, func(s *gateway.Config) { s.Budget = c.operators })
			require.Equal(t, http.StatusOK, w.post(requestBody(nil)).status, "the first call is allowed, whatever it uses")
			got := w.post(requestBody(nil))
			if c.applies == (gateway.Budget{}) {
				require.Equal(t, http.StatusOK, got.status)
				return
			}
			require.Equal(t, http.StatusForbidden, got.status)
			require.Contains(t, got.body, "used up its budget")
		})
	}
}

// The usage of earlier attempts counts against the budget.
func TestBudgetIncludesEarlierAttempts(t *testing.T) {
	for name, c := range map[string]struct {
		previous gateway.Budget
		status   int
		exceeded string
	}{
		"some of it":    {gateway.Budget{Tokens: 999, CostUSD: 0.09}, http.StatusOK, ""},
		"all tokens":    {gateway.Budget{Tokens: 1000}, http.StatusForbidden, "1000 of 1000 tokens"},
		"all USD":       {gateway.Budget{CostUSD: 0.1}, http.StatusForbidden, "0.1000 of 0.1000 USD"},
		"more than all": {gateway.Budget{Tokens: 5000, CostUSD: 7}, http.StatusForbidden, "7.0000 of 0.1000 USD"},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
			p := policy
			p.Budget, p.PreviousUsage = gateway.Budget{Tokens: 1000, CostUSD: 0.1}, c.previous
			w := openEndpointWithPolicy(t, upstream, p, nil)
			require.Equal(t, c.status, w.post(requestBody(nil)).status)
			require.Equal(t, c.exceeded, closeAndSummarize(t, w).BudgetExceeded)
		})
	}
}

// Headers that the runtime declares are forwarded unchanged if they are not too long. They never replace the gateway's
// own headers.
func TestDeclaredHeadersAreForwarded(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Text("hi")))
	p := policy
	p.Headers = []string{"X-Session", "X-Long", "X-Api-Key", "Content-Type"}
	w := openEndpointWithPolicy(t, upstream, p, nil)
	got := w.post(requestBody(nil), "X-Session", "s1", "X-Long", strings.Repeat("x", 2<<10), "X-Other", "o", "X-Api-Key", "mine", "Content-Type", "text/plain")
	require.Equal(t, http.StatusOK, got.status)
	sent := upstream.Requests()[0].Header
	require.Equal(t, "s1", sent.Get("X-Session"))
	require.Equal(t, key, sent.Get("X-Api-Key"))
	require.Equal(t, "application/json", sent.Get("Content-Type"))
	require.NotContains(t, sent, "X-Long")
	require.NotContains(t, sent, "X-Other")
}
