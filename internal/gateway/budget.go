package gateway

import (
	"fmt"
	"net/http"
	"sync"
)

// Budget limits what one execution may use. A zero field means no limit.
type Budget struct {
	Tokens  int64
	CostUSD float64
}

// tightest returns a budget with the smaller limit of each kind.
func (b Budget) tightest(o Budget) Budget {
	return Budget{Tokens: minLimit(b.Tokens, o.Tokens), CostUSD: minLimit(b.CostUSD, o.CostUSD)}
}

// minLimit returns the smaller of two limits. Zero and less mean no limit.
func minLimit[N int64 | float64](a, b N) N {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// budgetTracker enforces the budget of one endpoint and adds up what its calls use. It is safe for concurrent use.
type budgetTracker struct {
	budget        Budget
	previousUsage Budget           // what earlier attempts of the execution used
	prices        map[string]Price // take precedence over listPrices

	mu             sync.Mutex
	totals         Summary
	reservedTokens Tokens  // the most that running calls may use, estimated from their requests
	reservedCost   float64 // the cost of reservedTokens, USD
}

func newBudgetTracker(budget, previousUsage Budget, prices map[string]Price) *budgetTracker {
	return &budgetTracker{budget: budget, previousUsage: previousUsage, prices: prices}
}

func (b *budgetTracker) summary() Summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.totals
}

// bytesPerToken is the average of Claude's tokens in English text. JSON and other languages have fewer bytes per token.
const bytesPerToken = 4

// maxUsage estimates the most tokens that a request can use.
func (r requestInfo) maxUsage() Tokens {
	return Tokens{Input: r.bytes / bytesPerToken, Output: r.maxTokens}
}

// reserve admits a call, or returns the reason for a denial. While anything of the budget is left, the first of several
// concurrent calls is admitted; further calls are admitted only if the budget also covers what the running calls may
// still use. So an execution exceeds its budget by less than one call. Every admitted call must be committed once.
func (b *budgetTracker) reserve(r requestInfo) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	cost, priced := b.cost(r.model, r.maxUsage())
	usd, tokens := b.previousUsage.CostUSD+b.totals.CostUSD, b.previousUsage.Tokens+b.totals.Tokens.Total()
	switch limit := b.budget; {
	case limit.CostUSD > 0 && !priced:
		return forbidden("the model " + quote(r.model) + " has no price, so the budget cannot be enforced")
	case limit.CostUSD > 0 && usd >= limit.CostUSD:
		b.totals.BudgetExceeded = fmt.Sprintf("%.4f of %.4f USD", usd, limit.CostUSD)
		return forbidden("the execution has used up its budget")
	case limit.Tokens > 0 && tokens >= limit.Tokens:
		b.totals.BudgetExceeded = fmt.Sprintf("%d of %d tokens", tokens, limit.Tokens)
		return forbidden("the execution has used up its budget")
	case limit.CostUSD > 0 && usd+b.reservedCost >= limit.CostUSD,
		limit.Tokens > 0 && tokens+b.reservedTokens.Total() >= limit.Tokens:
		return rateLimited("other calls of the execution may use up its budget; wait for them")
	}
	b.reservedTokens = b.reservedTokens.add(r.maxUsage())
	b.reservedCost += cost
	b.totals.Calls++
	b.totals.BytesSent += r.bytes
	return nil
}

// recordDenial counts a request that is not sent upstream.
func (b *budgetTracker) recordDenial(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.totals.Denied++
	b.totals.LastDenial = reason
}

// callUsage is what one call used.
type callUsage struct {
	status        int // as Summary.LastStatus
	model         string
	tokens        Tokens
	estimated     bool
	bytesReceived int64
}

// commit ends an admitted call: it releases the reservation and adds the usage. It returns the cost in USD.
func (b *budgetTracker) commit(r requestInfo, used callUsage) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	reserved, _ := b.cost(r.model, r.maxUsage())
	b.reservedTokens = b.reservedTokens.sub(r.maxUsage())
	b.reservedCost -= reserved

	model := used.model
	if model == "" {
		model = r.model
	}
	cost, priced := b.cost(model, used.tokens)
	if !priced && used.status == http.StatusOK {
		b.totals.UnpricedCalls++
	}
	if used.estimated {
		b.totals.EstimatedCalls++
	}
	b.totals.Tokens = b.totals.Tokens.add(used.tokens)
	b.totals.CostUSD += cost
	b.totals.BytesReceived += used.bytesReceived
	b.totals.LastStatus, b.totals.LastDenial = used.status, ""
	return cost
}

func (b *budgetTracker) cost(model string, t Tokens) (usd float64, known bool) {
	p, known := b.prices[model]
	if !known {
		p, known = lookupPrice(model)
	}
	return p.cost(t), known
}
