package gateway

import (
	"fmt"
	"net/http"
	"sync"
)

// bill keeps the account of one session. It is safe for concurrent use.
type budgetTracker struct {
	budget        Budget
	previousUsage Budget           // of it, before the session
	prices        map[string]Price // go before the list's

	mu             sync.Mutex
	totals         Summary
	reservedTokens Tokens  // the most that calls under way may use, reckoned from their requests
	reservedCost   float64 // what inFlight would cost, USD
}

func newBudgetTracker(budget, previousUsage Budget, prices map[string]Price) *budgetTracker {
	return &budgetTracker{budget: budget, previousUsage: previousUsage, prices: prices}
}

func (b *budgetTracker) summary() Summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.totals
}

// bytesPerToken is what Claude's tokens come to in English text; in JSON and
// other languages it is less.
const bytesPerToken = 4

// most is the most that a request may use.
func (a requestInfo) maxUsage() Tokens {
	return Tokens{Input: a.bytes / bytesPerToken, Output: a.maxTokens}
}

// admit lets a call begin, or says why not. The first of concurrent calls is
// admitted while anything of the budget is left; further ones count what those
// under way may still use. So an execution passes its budget by less than one
// call. Each admitted call is settled once.
func (b *budgetTracker) reserve(a requestInfo) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	cost, priced := b.cost(a.model, a.maxUsage())
	usd, tokens := b.previousUsage.CostUSD+b.totals.CostUSD, b.previousUsage.Tokens+b.totals.Tokens.Total()
	switch limit := b.budget; {
	case limit.CostUSD > 0 && !priced:
		return forbidden("no price is known for the model " + quote(a.model) + ", so the budget cannot be kept")
	case limit.CostUSD > 0 && usd >= limit.CostUSD:
		b.totals.BudgetExceeded = fmt.Sprintf("%.4f of %.4f USD", usd, limit.CostUSD)
		return forbidden("the execution has spent its budget")
	case limit.Tokens > 0 && tokens >= limit.Tokens:
		b.totals.BudgetExceeded = fmt.Sprintf("%d of %d tokens", tokens, limit.Tokens)
		return forbidden("the execution has spent its budget")
	case limit.CostUSD > 0 && usd+b.reservedCost >= limit.CostUSD,
		limit.Tokens > 0 && tokens+b.reservedTokens.Total() >= limit.Tokens:
		return rateLimited("other calls of the execution may use up its budget; wait for them")
	}
	b.reservedTokens = b.reservedTokens.add(a.maxUsage())
	b.reservedCost += cost
	b.totals.Calls++
	b.totals.BytesIn += a.bytes
	return nil
}

// deny records a request that is not sent.
func (b *budgetTracker) recordDenial(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.totals.Denied++
	b.totals.LastDenial = reason
}

// receipt is what one call came to.
type callUsage struct {
	status    int // as Summary.LastStatus
	model     string
	tokens    Tokens
	estimated bool
	bytesOut  int64
}

// settle ends a call that was admitted, and returns its cost in USD.
func (b *budgetTracker) commit(a requestInfo, r callUsage) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	reserved, _ := b.cost(a.model, a.maxUsage())
	b.reservedTokens = b.reservedTokens.sub(a.maxUsage())
	b.reservedCost -= reserved

	model := r.model
	if model == "" {
		model = a.model
	}
	cost, priced := b.cost(model, r.tokens)
	if !priced && r.status == http.StatusOK {
		b.totals.UnpricedCalls++
	}
	if r.estimated {
		b.totals.EstimatedCalls++
	}
	b.totals.Tokens = b.totals.Tokens.add(r.tokens)
	b.totals.CostUSD += cost
	b.totals.BytesOut += r.bytesOut
	b.totals.LastStatus, b.totals.LastDenial = r.status, ""
	return cost
}

func (b *budgetTracker) cost(model string, t Tokens) (usd float64, known bool) {
	p, known := b.prices[model]
	if !known {
		p, known = lookupPrice(model)
	}
	return p.cost(t), known
}

func (t Tokens) add(o Tokens) Tokens {
	t.Input += o.Input
	t.Output += o.Output
	t.CacheRead += o.CacheRead
	t.CacheWrite5m += o.CacheWrite5m
	t.CacheWrite1h += o.CacheWrite1h
	return t
}

func (t Tokens) sub(o Tokens) Tokens {
	return t.add(Tokens{-o.Input, -o.Output, -o.CacheRead, -o.CacheWrite5m, -o.CacheWrite1h})
}
