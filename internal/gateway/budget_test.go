package gateway

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The test starts and ends calls in any order. Each call uses at most what its request allows.
func TestBudgetExceededByAtMostOneCall(t *testing.T) {
	const model, maxPerCall = "claude-sonnet-4-5", 1000
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 20*maxPerCall).Draw(t, "limit")
		b := newBudgetTracker(Budget{Tokens: limit, CostUSD: 0.1}, Budget{}, nil)
		var running []requestInfo
		end := func(t *rapid.T) {
			if len(running) == 0 {
				t.Skip("no call is running")
			}
			info := running[0]
			running = running[1:]
			most := info.maxUsage()
			b.commit(info, callUsage{status: 200, tokens: Tokens{
				Input:  rapid.Int64Range(0, most.Input).Draw(t, "input"),
				Output: rapid.Int64Range(0, most.Output).Draw(t, "output"),
			}})
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				info := requestInfo{
					model:     model,
					bytes:     rapid.Int64Range(0, maxPerCall/2*bytesPerToken).Draw(t, "bytes"),
					maxTokens: rapid.Int64Range(0, maxPerCall/2).Draw(t, "max_tokens"),
				}
				if b.reserve(info) == nil {
					running = append(running, info)
				}
			},
			"end": end,
			"": func(t *rapid.T) {
				s := b.summary()
				require.Less(t, s.Tokens.Total(), limit+maxPerCall)
				require.Less(t, s.CostUSD, 0.1+maxPerCall*15/1e6)
				require.GreaterOrEqual(t, b.reservedTokens.Total(), int64(0))
			},
		})
		for len(running) > 0 {
			end(t)
		}
		require.Zero(t, b.reservedTokens, "all reservations are released")
		require.InDelta(t, 0, b.reservedCost, 1e-9)
	})
}

func TestLookupPrice(t *testing.T) {
	for model, want := range map[string]Price{
		"claude-sonnet-4-6":         {3, 15},
		"claude-haiku-4-5-20251001": {1, 5},
		"claude-3-5-haiku-latest":   {0.8, 4},
		"claude-opus-4-20250514":    {15, 75},
	} {
		got, ok := lookupPrice(model)
		require.True(t, ok, model)
		require.Equal(t, want, got, model)
	}
	for _, model := range []string{"", "claude-sonnet", "claude-sonnet-4-6-2025", "gpt-9"} {
		_, ok := lookupPrice(model)
		require.False(t, ok, model)
	}
}
