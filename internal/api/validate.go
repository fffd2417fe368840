package api

import (
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// operationsByRoute are the operations of the contract, by the router's name of their route: "GET /agents/:id".
var operationsByRoute = sync.OnceValue(func() map[string]*contract.Operation {
	byRoute := map[string]*contract.Operation{}
	for name, op := range contract.Operations() {
		byRoute[strings.NewReplacer("{", ":", "}", "").Replace(name)] = op
	}
	return byRoute
})

// operationOf returns the operation of a request; nil if the contract does not have its route.
func operationOf(c echo.Context) *contract.Operation {
	return operationsByRoute()[c.Request().Method+" "+c.Path()]
}

// validateParameters rejects a request whose query or headers do not match the contract. The handler validates the body
// when it reads it.
func validateParameters(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if op := operationOf(c); op != nil {
			if err := invalidFields(op.CheckParameters(c.QueryParams(), c.Request().Header)); err != nil {
				return err
			}
		}
		return next(c)
	}
}

// validateBody rejects a body that does not match the contract. readJSON has checked already that it is one JSON
// document without repeated members.
func validateBody(c echo.Context, body []byte) error {
	op := operationOf(c)
	if op == nil {
		return nil
	}
	var document any
	if err := json.Unmarshal(body, &document); err != nil {
		return invalidField("body", "is not valid JSON")
	}
	return invalidFields(op.CheckBody(document))
}
