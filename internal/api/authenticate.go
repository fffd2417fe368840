package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// Authenticator identifies the caller of a request. It returns an *auth.UnauthenticatedError if the request has no
// valid credentials; any other error means that it cannot check them now. An invented credential costs it no query.
// Reauthenticate checks the credentials of a response that is under way, and uses no result that is older than 2 s.
// Both may be called concurrently.
type Authenticator interface {
	Authenticate(r *http.Request) (tenant.Caller, error)
	Reauthenticate(r *http.Request) error
}

const callerKey = "caller"

// callerOf returns the caller that authenticate has identified.
func callerOf(c echo.Context) tenant.Caller { return c.Get(callerKey).(tenant.Caller) }

// tenantID returns the tenant of the caller.
func tenantID(c echo.Context) string { return callerOf(c).Tenant }

// routesOutsideContract are the routes that the contract does not have, with the scopes that they need.
var routesOutsideContract = map[string][]contract.Scope{
	"GET /assets/*":               nil, // of the web page
	"GET /executions/:id/files/*": {contract.ScopeRead},
}

// requiredScopes returns the scopes that a route needs. An unknown route is not public: authentication comes before
// 404.
func requiredScopes(c echo.Context) (scopes []contract.Scope, public bool) {
	if op := operationOf(c); op != nil {
		return op.Scopes, op.Public
	}
	scopes, known := routesOutsideContract[c.Request().Method+" "+c.Path()]
	return scopes, known && len(scopes) == 0
}

// authenticate identifies the caller and checks that it may make this request.
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
		// Operators have no tenant, so together they have the bucket of the empty name.
		if wait := s.config.Limits.Requests.Take(identified.Tenant); wait > 0 {
			return &rateLimitedError{"The tenant exceeds its rate limit", wait}
		}
		if missing := identified.MissingScopes(domainScopes(scopes)...); len(missing) > 0 {
			return &insufficientScopeError{missing}
		}
		return next(c)
	}
}

// operatorKeySubject is how the audit log names who sent the operator's key.
const operatorKeySubject = "operator-key"

// identify identifies the caller. After many failed authentications from a network it tells those whose authentication
// fails to wait. It never tells so a caller with valid credentials, who may be behind the same address: credentials are
// checked first, which costs no query if they are invented.
func (s *Server) identify(c echo.Context) (tenant.Caller, error) {
	if s.config.OperatorKey.Matches(c.Request()) {
		return tenant.Operator(operatorKeySubject), nil
	}
	identified, err := s.config.Auth.Authenticate(c.Request())
	var unauthErr *auth.UnauthenticatedError
	if errors.As(err, &unauthErr) && unauthErr.CredentialsPresent {
		if wait := s.config.Limits.AuthFailures.Take(clientNetwork(c.RealIP())); wait > 0 {
			return tenant.Caller{}, &rateLimitedError{"Too many failed authentications from this address", wait}
		}
	}
	return identified, err
}

// reauthenticateInterval is how often the credentials of a response that is under way are checked. With the greatest
// age of such a check, it is the time after which a response with a revoked key ends: 4 s.
const reauthenticateInterval = 2 * time.Second

// reauthenticate checks the credentials again during a long response: the key may be revoked, or the token expired.
func (s *Server) reauthenticate(c echo.Context) error {
	return s.config.Auth.Reauthenticate(c.Request())
}

// domainScopes converts scopes of the contract.
func domainScopes(scopes []contract.Scope) []tenant.Scope {
	list := make([]tenant.Scope, len(scopes))
	for i, s := range scopes {
		list[i] = tenant.Scope(s)
	}
	return list
}
