package gateway

import (
	"net/http"
	"time"
)

// Tokens counts the tokens that the provider reports, by kind. Each kind has its own price.
type Tokens struct {
	Input        int64 // neither read from nor written to the provider's cache
	Output       int64
	CacheRead    int64
	CacheWrite5m int64
	CacheWrite1h int64
}

// Total returns the number of tokens of all kinds.
func (t Tokens) Total() int64 {
	return t.Input + t.Output + t.CacheRead + t.CacheWrite5m + t.CacheWrite1h
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

// Summary is what went through one endpoint so far.
type Summary struct {
	Calls         int64 // requests sent upstream
	Denied        int64 // requests denied by the gateway
	BytesSent     int64 // request bodies sent upstream
	BytesReceived int64 // responses written to the sandbox
	Tokens        Tokens
	CostUSD       float64
	UnpricedCalls int64 // calls to a model without a price; they count as free
	// EstimatedCalls ended before the provider reported their usage. If the sandbox or the gateway ended a call without a
	// stream, it counts as all that it could use, because the provider goes on. Of other calls, what arrived counts.
	EstimatedCalls int64

	Waited time.Duration // see Endpoint.Waited

	LastStatus     int    // status of the last upstream response; 504: time-out; 0: no response
	LastDenial     string // why the last request was denied; empty if a call was sent after it
	BudgetExceeded string // the exceeded limit; empty if the budget is not used up
}

// LastCallFailed reports whether the last request had no successful response.
func (s Summary) LastCallFailed() bool {
	return s.LastDenial != "" || s.Calls > 0 && (s.LastStatus < http.StatusOK || s.LastStatus >= http.StatusMultipleChoices)
}
