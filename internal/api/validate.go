package api

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// routes are the contract's operations as the router names them: "GET /agents/:id".
var operationsByRoute = sync.OnceValue(func() map[string]*contract.Operation {
	byRoute := map[string]*contract.Operation{}
	for name, op := range contract.Operations() {
		byRoute[strings.NewReplacer("{", ":", "}", "").Replace(name)] = op
	}
	return byRoute
})

// operation is what the contract says of the request's route; nil where the
// route is not part of it.
func operationOf(c echo.Context) *contract.Operation {
	return operationsByRoute()[c.Request().Method+" "+c.Path()]
}

// conform refuses a request whose parameters break the contract. Its body is
// checked by whoever reads it.
func validateParameters(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if op := operationOf(c); op != nil {
			if fieldErrors := op.CheckParameters(c.QueryParams(), c.Request().Header); len(fieldErrors) > 0 {
				return invalidRequest(fieldErrors...)
			}
		}
		return next(c)
	}
}

// conformBody refuses a body that breaks the contract. It has been read
// strictly before, so that it is one JSON document without repeated members.
func validateBody(c echo.Context, body []byte) error {
	op := operationOf(c)
	if op == nil {
		return nil
	}
	var document any
	if err := json.Unmarshal(body, &document); err != nil {
		return invalidRequest(fieldError("body", "is not valid JSON"))
	}
	if fieldErrors := op.CheckBody(document); len(fieldErrors) > 0 {
		return invalidRequest(fieldErrors...)
	}
	return nil
}
