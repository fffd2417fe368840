package gateway_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

func withUsage(a modelstub.Response, usage map[string]any) modelstub.Response {
	a.Usage = usage
	return a
}

func TestTokensAndCostFromProvider(t *testing.T) {
	for name, c := range map[string]struct {
		usage map[string]any
		want  gateway.Tokens
		cost  float64 // Sonnet 4.5: 3 USD per million input tokens, 15 USD per million output tokens
	}{
		"plain": {
			map[string]any{"input_tokens": 1000, "output_tokens": 200},
			gateway.Tokens{Input: 1000, Output: 200}, 0.003 + 0.003,
		},
		"from the cache": {
			map[string]any{"input_tokens": 10, "output_tokens": 0, "cache_read_input_tokens": 10000},
			gateway.Tokens{Input: 10, CacheRead: 10000}, 0.00003 + 0.003,
		},
		"into the cache": {
			map[string]any{"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 4000},
			gateway.Tokens{CacheWrite5m: 4000}, 0.015,
		},
		"into the cache, by lifetime": {
			map[string]any{
				"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 3000,
				"cache_creation": map[string]any{"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
			},
			gateway.Tokens{CacheWrite5m: 1000, CacheWrite1h: 2000}, 0.00375 + 0.012,
		},
		"negative": {
			map[string]any{"input_tokens": -5, "output_tokens": 0}, gateway.Tokens{}, 0,
		},
	} {
		for kind, stream := range map[string]bool{"stream": true, "body": false} {
			t.Run(name+", "+kind, func(t *testing.T) {
				upstream := startModel(t, modelstub.Always(withUsage(modelstub.Text("hi"), c.usage)))
				w := openEndpoint(t, upstream, nil)
				body := requestBody(map[string]any{"stream": stream})
				got := w.post(body)
				s := closeAndSummarize(t, w)
				require.InDelta(t, c.cost, s.CostUSD, 1e-9)
				s.CostUSD = 0
				require.Empty(t, cmp.Diff(gateway.Summary{
					Calls: 1, BytesSent: int64(len(body)), BytesReceived: int64(len(got.body)), Tokens: c.want, LastStatus: http.StatusOK,
				}, s))
			})
		}
	}
}

func TestPriceOfRespondingModel(t *testing.T) {
	answer := withUsage(modelstub.Text("hi"), map[string]any{"input_tokens": 1_000_000, "output_tokens": 0})
	for answered, cost := range map[string]float64{
		"":                           3,
		"claude-opus-4-1-20250805":   15,
		"claude-sonnet-4-5-20250929": 3,
		"claude-3-5-haiku-latest":    0.8,
	} {
		t.Run(answered, func(t *testing.T) {
			answer.Model = answered
			w := openEndpoint(t, startModel(t, modelstub.Always(answer)), nil)
			w.post(requestBody(nil))
			require.InDelta(t, cost, closeAndSummarize(t, w).CostUSD, 1e-9)
		})
	}
}

func TestUnpricedModelIsFreeAndCounted(t *testing.T) {
	w := openEndpoint(t, startModel(t, modelstub.Always(modelstub.Text("hi"))), nil)
	w.post(requestBody(map[string]any{"model": "claude-of-tomorrow"}))
	s := closeAndSummarize(t, w)
	require.Zero(t, s.CostUSD)
	require.EqualValues(t, 1, s.UnpricedCalls)
	require.EqualValues(t, 100, s.Tokens.Input)
}

func TestEarlyDisconnectIsCharged(t *testing.T) {
	upstream := startModel(t, modelstub.Always(modelstub.Stall("a long answer that ends before its usage")))
	w := openEndpoint(t, upstream, nil)
	got, _ := w.startStream(t.Context())
	require.NoError(t, got.Body.Close())
	awaitDisconnect(t, upstream)
	s := closeAndSummarize(t, w)
	require.EqualValues(t, 100, s.Tokens.Input, "reported in the first event")
	require.Greater(t, s.Tokens.Output, int64(1))
	require.EqualValues(t, 1, s.EstimatedCalls)
}

func TestErrorsAreNotCharged(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 413, 429, 500, 529} {
		w := openEndpoint(t, startModel(t, modelstub.Always(modelstub.Status(status, "some_error", "no"))), nil)
		require.Equal(t, status, w.post(requestBody(nil)).status)
		s := closeAndSummarize(t, w)
		require.Zero(t, s.Tokens)
		require.Zero(t, s.EstimatedCalls)
		require.Equal(t, status, s.LastStatus)
	}
}

func TestStreamErrorSetsStatus(t *testing.T) {
	stream := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n"
	w := openEndpoint(t, startModel(t, modelstub.Always(modelstub.Raw(http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}}, stream))), nil)
	require.Equal(t, stream, w.post(requestBody(nil)).body)
	require.Equal(t, 529, closeAndSummarize(t, w).LastStatus)
}

func TestTokenBudget(t *testing.T) {
	w := openEndpoint(t, startModel(t, modelstub.Always(modelstub.Text("hi"))), func(s *gateway.Config) { s.Budget.Tokens = 200 })
	require.Equal(t, http.StatusOK, w.post(requestBody(nil)).status, "120 tokens")
	require.Equal(t, http.StatusOK, w.post(requestBody(nil)).status, "some of the budget is left")
	got := w.post(requestBody(nil))
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "has used up its budget")
	s := closeAndSummarize(t, w)
	require.Equal(t, "240 of 200 tokens", s.BudgetExceeded)
	require.EqualValues(t, 2, s.Calls)
	require.EqualValues(t, 1, s.Denied)
}

func TestCostBudget(t *testing.T) {
	answer := withUsage(modelstub.Text("hi"), map[string]any{"input_tokens": 100_000, "output_tokens": 0})
	w := openEndpoint(t, startModel(t, modelstub.Always(answer)), func(s *gateway.Config) { s.Budget.CostUSD = 0.25 })
	require.Equal(t, http.StatusOK, w.post(requestBody(nil)).status)
	require.Equal(t, http.StatusForbidden, w.post(requestBody(map[string]any{"model": "claude-of-tomorrow"})).status,
		"without a price the budget cannot be enforced")
	require.Empty(t, w.Summary().BudgetExceeded)
	require.Equal(t, http.StatusForbidden, w.post(requestBody(nil)).status)
	require.Equal(t, "0.3000 of 0.2500 USD", closeAndSummarize(t, w).BudgetExceeded)
}

func TestConcurrentCallsShareBudget(t *testing.T) {
	upstream := startModel(t, modelstub.Sequence(modelstub.Stall("hi"), modelstub.Text("hi")))
	w := openEndpoint(t, upstream, func(s *gateway.Config) { s.Budget.Tokens = 900 })
	got, _ := w.startStream(t.Context()) // may use 1000 tokens
	second := w.post(requestBody(nil))
	require.Equal(t, http.StatusTooManyRequests, second.status, "the request can be repeated")
	require.Empty(t, second.header.Get("X-Should-Retry"))
	require.Empty(t, w.Summary().BudgetExceeded)

	require.NoError(t, got.Body.Close())
	awaitDisconnect(t, upstream)
	require.Eventually(t, func() bool { return w.post(requestBody(nil)).status == http.StatusOK }, patience, 1e6,
		"the first call used less than it reserved")
}
