package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/domain/tenant"
)

const (
	tenantHeader = "X-User-Id"
	// operatorHeader makes a caller the operator if its value is "true". A page of another origin cannot send it without
	// a preflight request, as it could send a plain POST that drains an executor.
	operatorHeader = "X-Operator"
	defaultTenant  = "local"
)

// DevAuthenticator is AIRLOCK_AUTH_MODE=dev: it believes what the caller says. A server with it listens on loopback
// only and answers only requests for localhost.
type DevAuthenticator struct {
	// BelieveOperator also believes a caller who says that it is the operator.
	BelieveOperator bool
}

// Authenticate takes the tenant from a header. The caller has every scope of a tenant, or is the operator. A malformed
// tenant is an invalid request.
func (d DevAuthenticator) Authenticate(r *http.Request) (tenant.Caller, error) {
	if d.BelieveOperator && r.Header.Get(operatorHeader) == "true" {
		return tenant.Operator(""), nil
	}
	name := r.Header.Get(tenantHeader)
	if name == "" {
		name = defaultTenant
	}
	if !tenant.ValidName(name) {
		return tenant.Caller{}, invalidField(tenantHeader, tenant.NameRule)
	}
	return tenant.Caller{Tenant: name, Scopes: tenant.AllScopes}, nil
}

// Reauthenticate finds nothing: there are no credentials.
func (DevAuthenticator) Reauthenticate(*http.Request) error { return nil }

// requireLocalHost rejects requests for the name of another host. Otherwise a web page could reach an unauthenticated
// server: it points a host name of its own at the loopback address (DNS rebinding).
func requireLocalHost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !isLocalHost(c.Request().Host) {
			return errHostNotAllowed
		}
		return next(c)
	}
}

func isLocalHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.IsLoopback()
}
