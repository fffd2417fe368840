package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// Authenticator tells who makes a request. Where the request does not show it,
// the error is a *caller.UnauthenticatedError; any other means that it cannot be
// told now. Concurrent calls.
type Authenticator interface {
	Authenticate(r *http.Request) (tenant.Caller, error)
}

const callerKey = "caller"

// who is the caller that authenticate found.
func callerOf(c echo.Context) tenant.Caller { return c.Get(callerKey).(tenant.Caller) }

// tenant is whose resources a request is about.
func tenantID(c echo.Context) string { return callerOf(c).Tenant }

// outside names the routes that are not of the contract, and what they take.
var routesOutsideContract = map[string][]contract.Scope{
	"GET /assets/*":               nil, // the page's
	"GET /executions/:id/files/*": {contract.ScopeRead},
}

// needs returns the scopes that the caller of a route needs. It is not open
// where it is not known, such as for a path where there is nothing.
func requiredScopes(c echo.Context) (scopes []contract.Scope, public bool) {
	if op := operationOf(c); op != nil {
		return op.Scopes, len(op.Scopes) == 0
	}
	scopes, known := routesOutsideContract[c.Request().Method+" "+c.Path()]
	return scopes, known && len(scopes) == 0
}

// authenticate establishes whose request this is, and that the caller may make it.
func (s *Server) authenticate(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		scopes, public := requiredScopes(c)
		if public {
			return next(c)
		}
		identified, err := s.identify(c)
		if err != nil {
			return err
		}
		c.Set(callerKey, identified)
		if wait := s.config.Limits.Requests.Take(identified.Tenant); wait > 0 {
			return rateLimited(wait, "The tenant makes more requests than it may")
		}
		if missing := identified.MissingScopes(domainScopes(scopes)...); len(missing) > 0 {
			return insufficientScope(missing)
		}
		return next(c)
	}
}

// identify finds out who calls. An address that has shown many wrong
// credentials is not listened to for a while, so that guesses cost nothing.
func (s *Server) identify(c echo.Context) (tenant.Caller, error) {
	network := clientNetwork(c.RealIP())
	if wait := s.config.Limits.AuthFailures.RetryAfter(network); wait > 0 {
		return tenant.Caller{}, rateLimited(wait, "This address has shown too many wrong credentials")
	}
	identified, err := s.config.Auth.Authenticate(c.Request())
	var unauthErr *auth.UnauthenticatedError
	if errors.As(err, &unauthErr) && unauthErr.CredentialsPresent {
		s.config.Limits.AuthFailures.Take(network)
	}
	return identified, err
}

// admitted refuses to go on with a long answer to a caller whose key was
// revoked meanwhile, or whose token has expired.
func (s *Server) reauthenticate(c echo.Context) error {
	_, err := s.config.Auth.Authenticate(c.Request())
	return err
}

// unauthenticated asks the caller for credentials, in the words of RFC 6750.
func unauthenticatedProblem(err *auth.UnauthenticatedError) *problem {
	challenge := `Bearer realm="airlock"`
	if err.CredentialsPresent {
		challenge += `, error="invalid_token"`
	}
	return &problem{Status: http.StatusUnauthorized, Code: contract.ProblemUnauthenticated, Detail: err.Reason, Challenge: challenge}
}

// lacking says which scopes the caller would need.
func insufficientScope(missing []tenant.Scope) *problem {
	names := make([]string, len(missing))
	for i, s := range missing {
		names[i] = string(s)
	}
	list := strings.Join(names, " ")
	return &problem{
		Status: http.StatusForbidden, Code: contract.ProblemInsufficientScope,
		Detail:    fmt.Sprintf("This takes the scope %s, which the caller has not.", strings.Join(names, ", ")),
		Challenge: fmt.Sprintf(`Bearer realm="airlock", error="insufficient_scope", scope=%q`, list),
	}
}

// granted is what the contract's scopes are called elsewhere.
func domainScopes(scopes []contract.Scope) []tenant.Scope {
	list := make([]tenant.Scope, len(scopes))
	for i, s := range scopes {
		list[i] = tenant.Scope(s)
	}
	return list
}
