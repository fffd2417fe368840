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
	PreviousUsage Budget
}

// Route is one request line. Nothing is decoded or cleaned before it is
// compared, so there is one way to write it, and `%`, `..`, `//` and
// absolute forms match nothing.
type Route struct {
	Method string
	Target string // path and query to the letter
	Local  bool   // answered with an empty 200 here, never sent upstream
}

func (p Policy) findRoute(r *http.Request) (Route, bool) {
	i := slices.IndexFunc(p.Routes, func(route Route) bool {
		return route.Method == r.Method && route.Target == r.RequestURI
	})
	if i < 0 {
		return Route{}, false
	}
	return p.Routes[i], true
}

// betas keeps the values that are allowed, in their order.
func (p Policy) filterBetas(r *http.Request) string {
	var allowed []string
	for _, value := range r.Header.Values("Anthropic-Beta") {
		for beta := range strings.SplitSeq(value, ",") {
			if beta = strings.TrimSpace(beta); slices.Contains(p.Betas, beta) && !slices.Contains(allowed, beta) {
				allowed = append(allowed, beta)
			}
		}
	}
	return strings.Join(allowed, ",")
}
