package gateway_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

func used(a modelstub.Answer, usage map[string]any) modelstub.Answer {
	a.Usage = usage
	return a
}

func TestTokensAndCostAreWhatTheProviderSays(t *testing.T) {
	for name, c := range map[string]struct {
		usage map[string]any
		want  gateway.Tokens
		cost  float64 // Sonnet 4.5: 3 USD in, 15 USD out for a million
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
		"into the cache, told apart": {
			map[string]any{
				"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 3000,
				"cache_creation": map[string]any{"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
			},
			gateway.Tokens{CacheWrite5m: 1000, CacheWrite1h: 2000}, 0.00375 + 0.012,
		},
		"absurd": {
			map[string]any{"input_tokens": -5, "output_tokens": 0}, gateway.Tokens{}, 0,
		},
	} {
		for kind, stream := range map[string]bool{"stream": true, "whole": false} {
			t.Run(name+", "+kind, func(t *testing.T) {
				upstream := start(t, modelstub.Always(used(modelstub.Text("hi"), c.usage)))
				w := open(t, upstream, nil)
				body := ask(map[string]any{"stream": stream})
				got := w.post(body)
				s := settled(t, w)
				require.InDelta(t, c.cost, s.CostUSD, 1e-9)
				s.CostUSD = 0
				require.Empty(t, cmp.Diff(gateway.Summary{
					Calls: 1, BytesIn: int64(len(body)), BytesOut: int64(len(got.body)), Tokens: c.want, LastStatus: http.StatusOK,
				}, s))
			})
		}
	}
}

func TestThePriceIsThatOfTheModelThatAnswered(t *testing.T) {
	answer := used(modelstub.Text("hi"), map[string]any{"input_tokens": 1_000_000, "output_tokens": 0})
	for answered, cost := range map[string]float64{
		"":                           3,
		"claude-opus-4-1-20250805":   15,
		"claude-sonnet-4-5-20250929": 3,
		"claude-3-5-haiku-latest":    0.8,
	} {
		t.Run(answered, func(t *testing.T) {
			answer.Model = answered
			w := open(t, start(t, modelstub.Always(answer)), nil)
			w.post(ask(nil))
			require.InDelta(t, cost, settled(t, w).CostUSD, 1e-9)
		})
	}
}

func TestAModelWithoutAPriceIsFreeAndMarked(t *testing.T) {
	w := open(t, start(t, modelstub.Always(modelstub.Text("hi"))), nil)
	w.post(ask(map[string]any{"model": "claude-of-tomorrow"}))
	s := settled(t, w)
	require.Zero(t, s.CostUSD)
	require.EqualValues(t, 1, s.UnpricedCalls)
	require.EqualValues(t, 100, s.Tokens.Input)
}

func TestHangingUpEarlyIsNotFree(t *testing.T) {
	upstream := start(t, modelstub.Always(modelstub.Stall("a long answer that is cut off before its count")))
	w := open(t, upstream, nil)
	got, _ := w.begin(t.Context())
	require.NoError(t, got.Body.Close())
	awaitGone(t, upstream)
	s := settled(t, w)
	require.EqualValues(t, 100, s.Tokens.Input, "named at the stream's beginning")
	require.Greater(t, s.Tokens.Output, int64(1))
	require.EqualValues(t, 1, s.EstimatedCalls)
}

func TestErrorsCostNothing(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 413, 429, 500, 529} {
		w := open(t, start(t, modelstub.Always(modelstub.Status(status, "some_error", "no"))), nil)
		require.Equal(t, status, w.post(ask(nil)).status)
		s := settled(t, w)
		require.Zero(t, s.Tokens)
		require.Zero(t, s.EstimatedCalls)
		require.Equal(t, status, s.LastStatus)
	}
}

func TestAnErrorInTheMiddleOfAStreamHasItsStatus(t *testing.T) {
	stream := "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n"
	w := open(t, start(t, modelstub.Always(modelstub.Raw(http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}}, stream))), nil)
	require.Equal(t, stream, w.post(ask(nil)).body)
	require.Equal(t, 529, settled(t, w).LastStatus)
}

func TestBudgetOfTokens(t *testing.T) {
	w := open(t, start(t, modelstub.Always(modelstub.Text("hi"))), func(s *gateway.Settings) { s.Budget.Tokens = 200 })
	require.Equal(t, http.StatusOK, w.post(ask(nil)).status, "120 tokens")
	require.Equal(t, http.StatusOK, w.post(ask(nil)).status, "still something left")
	got := w.post(ask(nil))
	require.Equal(t, http.StatusForbidden, got.status)
	require.Contains(t, got.body, "has spent its budget")
	s := settled(t, w)
	require.Equal(t, "240 of 200 tokens", s.BudgetExceeded)
	require.EqualValues(t, 2, s.Calls)
	require.EqualValues(t, 1, s.Denied)
}

func TestBudgetOfMoney(t *testing.T) {
	answer := used(modelstub.Text("hi"), map[string]any{"input_tokens": 100_000, "output_tokens": 0})
	w := open(t, start(t, modelstub.Always(answer)), func(s *gateway.Settings) { s.Budget.CostUSD = 0.25 })
	require.Equal(t, http.StatusOK, w.post(ask(nil)).status)
	require.Equal(t, http.StatusForbidden, w.post(ask(map[string]any{"model": "claude-of-tomorrow"})).status,
		"without a price the budget could not be kept")
	require.Empty(t, w.Summary().BudgetExceeded)
	require.Equal(t, http.StatusForbidden, w.post(ask(nil)).status)
	require.Equal(t, "0.3000 of 0.2500 USD", settled(t, w).BudgetExceeded)
}

func TestCallsAtOnceCannotPassTheBudgetTogether(t *testing.T) {
	upstream := start(t, modelstub.Sequence(modelstub.Stall("hi"), modelstub.Text("hi")))
	w := open(t, upstream, func(s *gateway.Settings) { s.Budget.Tokens = 900 })
	got, _ := w.begin(t.Context()) // it may use 1000
	second := w.post(ask(nil))
	require.Equal(t, http.StatusTooManyRequests, second.status, "to be asked again, not the end")
	require.Empty(t, second.header.Get("X-Should-Retry"))
	require.Empty(t, w.Summary().BudgetExceeded)

	require.NoError(t, got.Body.Close())
	awaitGone(t, upstream)
	require.Eventually(t, func() bool { return w.post(ask(nil)).status == http.StatusOK }, patience, 1e6,
		"the first call used less than it might have")
}
