package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

const (
	tenantHeader  = "X-User-Id"
	defaultTenant = "local"
)

// Local is AIRLOCK_AUTH_MODE=dev: the caller says who it is, and is believed. A server
// with it listens on loopback only, and answers to no other host's name.
type DevAuthenticator struct{}

// Authenticate takes the tenant from a header. It has every scope.
func (DevAuthenticator) Authenticate(r *http.Request) (tenant.Caller, error) {
	name := r.Header.Get(tenantHeader)
	if name == "" {
		name = defaultTenant
	}
	if !tenant.ValidName(name) {
		return tenant.Caller{}, invalidRequest(fieldError(tenantHeader, tenant.NameRule))
	}
	return tenant.Caller{Tenant: name, Scopes: tenant.AllScopes}, nil
}

// onlyLocalHosts refuses requests that were made for another host's name: a
// web page must not reach an unauthenticated server by pointing a name of its
// own at the loopback address.
func requireLocalHost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !isLocalHost(c.Request().Host) {
			return &problem{
				Status: http.StatusForbidden, Code: contract.ProblemHostNotAllowed,
				Detail: "Without authentication this server answers to localhost only. Call it as localhost or 127.0.0.1.",
			}
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
