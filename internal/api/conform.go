package api

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// routes are the contract's operations as the router names them: "GET /agents/:id".
var routes = sync.OnceValue(func() map[string]*contract.Operation {
	byRoute := map[string]*contract.Operation{}
	for name, op := range contract.Operations() {
		byRoute[strings.NewReplacer("{", ":", "}", "").Replace(name)] = op
	}
	return byRoute
})

// operation is what the contract says of the request's route; nil where the
// route is not part of it.
func operation(c echo.Context) *contract.Operation {
	return routes()[c.Request().Method+" "+c.Path()]
}

// conform refuses a request whose parameters break the contract. Its body is
// checked by whoever reads it.
func conform(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if op := operation(c); op != nil {
			if wrong := op.CheckParameters(c.QueryParams(), c.Request().Header); len(wrong) > 0 {
				return invalid(wrong...)
			}
		}
		return next(c)
	}
}

// conformBody refuses a body that breaks the contract. It has been read
// strictly before, so that it is one JSON document without repeated members.
func conformBody(c echo.Context, body []byte) error {
	op := operation(c)
	if op == nil {
		return nil
	}
	var tree any
	if err := json.Unmarshal(body, &tree); err != nil {
		return invalid(fieldError("body", "is not valid JSON"))
	}
	if wrong := op.CheckBody(tree); len(wrong) > 0 {
		return invalid(wrong...)
	}
	return nil
}
