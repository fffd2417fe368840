package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// GetCaller says who the caller is and what it may do. The web page shows the operator's view by it.
func (s *Server) GetCaller(c echo.Context) error {
	caller := callerOf(c)
	scopes := make([]contract.CallerScope, len(caller.Scopes))
	for i, scope := range caller.Scopes {
		scopes[i] = contract.CallerScope(scope)
	}
	return respondJSON(c, http.StatusOK, contract.Caller{Tenant: caller.Tenant, Scopes: scopes})
}
