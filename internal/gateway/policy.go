package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/gateway/forward"
)

// Policy is what the agent of one execution may use, as its runtime declares it.
type Policy struct {
	Routes []Route
	Models []string
	Betas  []string // allowed values of the anthropic-beta header; other values are removed
	// Headers are forwarded unchanged, in addition to those that are always forwarded.
	Headers []string
	// Prices take precedence over the gateway's own table.
	Prices map[string]Price
	// Budget is the budget of the execution. The operator's budget applies in addition.
	Budget Budget
	// PreviousUsage is what earlier attempts of the execution used. It counts against the budget.
	PreviousUsage Budget
	// Door serves what is not for the model: requests for a forward proxy; nil: there is none. The endpoint closes it.
	Door *forward.Door
}

// Route is one allowed request line. The request is compared without decoding or cleaning, so each route has exactly
// one spelling, and no variant of it with `%`, `..`, `//` or an absolute URL matches.
type Route struct {
	Method string
	Target string // exact path and query
	Local  bool   // the gateway answers with an empty 200 and sends nothing upstream
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

// filterBetas returns the allowed values of the anthropic-beta header, in the order of the request.
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
