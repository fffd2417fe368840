package gateway

import "net/http"

// Tokens counts what the provider billed, by the kinds that have their own price.
type Tokens struct {
	Input        int64 // not read from nor written to the provider's cache
	Output       int64
	CacheRead    int64
	CacheWrite5m int64
	CacheWrite1h int64
}

// Total counts all tokens alike.
func (t Tokens) Total() int64 {
	return t.Input + t.Output + t.CacheRead + t.CacheWrite5m + t.CacheWrite1h
}

// Summary is what went through one session so far.
type Summary struct {
	Calls         int64 // requests that were sent upstream
	Denied        int64 // requests that were not
	BytesIn       int64 // of request bodies sent upstream
	BytesOut      int64 // of answers given to the sandbox
	Tokens        Tokens
	CostUSD       float64
	UnpricedCalls int64 // calls whose model has no price in the table; they count as free
	// EstimatedCalls were cut before the provider said what they used: by the
	// sandbox, a deadline or a failure. Their tokens are reckoned from bytes,
	// or an agent could use the model for nothing by hanging up early.
	EstimatedCalls int64

	LastStatus     int    // of the newest upstream answer; 504: too slow; 0: no answer
	LastDenial     string // why the newest request was refused, if that came after the newest answer
	BudgetExceeded string // which limit a request ran into; empty: none
}

// LastCallFailed says whether the newest request got no good answer.
func (s Summary) LastCallFailed() bool {
	return s.LastDenial != "" || s.Calls > 0 && (s.LastStatus < http.StatusOK || s.LastStatus >= http.StatusMultipleChoices)
}
