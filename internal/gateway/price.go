package gateway

import (
	"regexp"
	"strings"
)

// Price is in USD per million tokens.
type Price struct{ Input, Output float64 }

// Prices of cached input tokens, as multiples of the input price.
const (
	cacheReadFactor    = 0.1
	cacheWrite5mFactor = 1.25
	cacheWrite1hFactor = 2
)

// listPrices are Anthropic's list prices for the standard tier. They come from the table inside Claude Code 2.1.197
// (June 2026), and were compared with https://docs.anthropic.com/en/docs/about-claude/pricing where that page had the
// model. Surcharges for long contexts (more than 200,000 input tokens on older Sonnet models) are not included.
var listPrices = map[string]Price{
	"claude-3-5-haiku":  {0.80, 4},
	"claude-haiku-4-5":  {1, 5},
	"claude-3-7-sonnet": {3, 15},
	"claude-sonnet-4":   {3, 15},
	"claude-sonnet-4-0": {3, 15},
	"claude-sonnet-4-5": {3, 15},
	"claude-sonnet-4-6": {3, 15},
	"claude-sonnet-5":   {3, 15},
	"claude-opus-4":     {15, 75},
	"claude-opus-4-0":   {15, 75},
	"claude-opus-4-1":   {15, 75},
	"claude-opus-4-5":   {5, 25},
	"claude-opus-4-6":   {5, 25},
	"claude-opus-4-7":   {5, 25},
	"claude-opus-4-8":   {5, 25},
	"claude-fable-5":    {10, 50},
	"claude-mythos-5":   {10, 50},
}

// dateSuffix is the release date at the end of a model's full name.
var dateSuffix = regexp.MustCompile(`-20\d{6}$`)

func lookupPrice(model string) (Price, bool) {
	model = dateSuffix.ReplaceAllString(strings.TrimSuffix(model, "-latest"), "")
	p, ok := listPrices[model]
	return p, ok
}

// cost returns the cost in USD.
func (p Price) cost(t Tokens) float64 {
	input := float64(t.Input) +
		float64(t.CacheRead)*cacheReadFactor +
		float64(t.CacheWrite5m)*cacheWrite5mFactor +
		float64(t.CacheWrite1h)*cacheWrite1hFactor
	return (input*p.Input + float64(t.Output)*p.Output) / 1e6
}
