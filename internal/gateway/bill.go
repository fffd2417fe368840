package gateway

import (
	"fmt"
	"net/http"
	"sync"
)

// bill keeps the account of one session. It is safe for concurrent use.
type bill struct {
	budget Budget
	spent  Budget           // of it, before the session
	prices map[string]Price // go before the list's

	mu       sync.Mutex
	sum      Summary
	inFlight Tokens  // the most that calls under way may use, reckoned from their requests
	atStake  float64 // what inFlight would cost, USD
}

func newBill(budget, spent Budget, prices map[string]Price) *bill {
	return &bill{budget: budget, spent: spent, prices: prices}
}

func (b *bill) summary() Summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum
}

// bytesPerToken is what Claude's tokens come to in English text; in JSON and
// other languages it is less.
const bytesPerToken = 4

// most is the most that a request may use.
func (a ask) most() Tokens { return Tokens{Input: a.bytes / bytesPerToken, Output: a.maxTokens} }

// admit lets a call begin, or says why not. The first of concurrent calls is
// admitted while anything of the budget is left; further ones count what those
// under way may still use. So an execution passes its budget by less than one
// call. Each admitted call is settled once.
func (b *bill) admit(a ask) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	cost, priced := b.costOf(a.model, a.most())
	usd, tokens := b.spent.CostUSD+b.sum.CostUSD, b.spent.Tokens+b.sum.Tokens.Total()
	switch limit := b.budget; {
	case limit.CostUSD > 0 && !priced:
		return forbidden("no price is known for the model " + quote(a.model) + ", so the budget cannot be kept")
	case limit.CostUSD > 0 && usd >= limit.CostUSD:
		b.sum.BudgetExceeded = fmt.Sprintf("%.4f of %.4f USD", usd, limit.CostUSD)
		return forbidden("the execution has spent its budget")
	case limit.Tokens > 0 && tokens >= limit.Tokens:
		b.sum.BudgetExceeded = fmt.Sprintf("%d of %d tokens", tokens, limit.Tokens)
		return forbidden("the execution has spent its budget")
	case limit.CostUSD > 0 && usd+b.atStake >= limit.CostUSD,
		limit.Tokens > 0 && tokens+b.inFlight.Total() >= limit.Tokens:
		return busy("other calls of the execution may use up its budget; wait for them")
	}
	b.inFlight = b.inFlight.plus(a.most())
	b.atStake += cost
	b.sum.Calls++
	b.sum.BytesIn += a.bytes
	return nil
}

// deny records a request that is not sent.
func (b *bill) deny(reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sum.Denied++
	b.sum.LastDenial = reason
}

// receipt is what one call came to.
type receipt struct {
	status    int // as Summary.LastStatus
	model     string
	tokens    Tokens
	estimated bool
	bytesOut  int64
}

// settle ends a call that was admitted, and returns its cost in USD.
func (b *bill) settle(a ask, r receipt) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	reserved, _ := b.costOf(a.model, a.most())
	b.inFlight = b.inFlight.minus(a.most())
	b.atStake -= reserved

	model := r.model
	if model == "" {
		model = a.model
	}
	cost, priced := b.costOf(model, r.tokens)
	if !priced && r.status == http.StatusOK {
		b.sum.UnpricedCalls++
	}
	if r.estimated {
		b.sum.EstimatedCalls++
	}
	b.sum.Tokens = b.sum.Tokens.plus(r.tokens)
	b.sum.CostUSD += cost
	b.sum.BytesOut += r.bytesOut
	b.sum.LastStatus, b.sum.LastDenial = r.status, ""
	return cost
}

func (b *bill) costOf(model string, t Tokens) (usd float64, known bool) {
	p, known := b.prices[model]
	if !known {
		p, known = priceOf(model)
	}
	return p.cost(t), known
}

func (t Tokens) plus(o Tokens) Tokens {
	t.Input += o.Input
	t.Output += o.Output
	t.CacheRead += o.CacheRead
	t.CacheWrite5m += o.CacheWrite5m
	t.CacheWrite1h += o.CacheWrite1h
	return t
}

func (t Tokens) minus(o Tokens) Tokens {
	return t.plus(Tokens{-o.Input, -o.Output, -o.CacheRead, -o.CacheWrite5m, -o.CacheWrite1h})
}
