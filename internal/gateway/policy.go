package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// Policy is what a runtime declares that its agents need.
type Policy struct {
	Routes []Route
	Models []string
	Betas  []string // values of the anthropic-beta header; others are taken out
	// Headers are passed on as they are, besides those that always are.
	Headers []string
	// Prices are of models that the gateway's own table does not have.
	Prices map[string]Price
	// Budget of the execution, which the operator's bounds besides.
	Budget Budget
	// Spent is what earlier attempts of the execution have used of it.
	Spent Budget
}

// Route is one request line. Nothing is decoded or cleaned before it is
// compared, so there is one way to write it, and `%`, `..`, `//` and
// absolute forms match nothing.
type Route struct {
	Method string
	Target string // path and query to the letter
	Local  bool   // answered with an empty 200 here, never sent upstream
}

func (p Policy) route(r *http.Request) (Route, bool) {
	i := slices.IndexFunc(p.Routes, func(one Route) bool {
		return one.Method == r.Method && one.Target == r.RequestURI
	})
	if i < 0 {
		return Route{}, false
	}
	return p.Routes[i], true
}

// betas keeps the values that are allowed, in their order.
func (p Policy) betas(r *http.Request) string {
	var kept []string
	for _, value := range r.Header.Values("Anthropic-Beta") {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.TrimSpace(one); slices.Contains(p.Betas, one) && !slices.Contains(kept, one) {
				kept = append(kept, one)
			}
		}
	}
	return strings.Join(kept, ",")
}
