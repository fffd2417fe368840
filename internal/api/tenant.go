package api

import (
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// In AUTH_MODE=dev the caller says who it is, and is believed. The server
// therefore listens on loopback only.
const (
	tenantHeader = "X-User-Id"
	localTenant  = "local"
	tenantKey    = "tenant"
)

// tenantForm keeps a tenant usable as a Firestore document ID.
var tenantForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$`)

// tenant establishes whose request this is.
func tenant(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		owner := c.Request().Header.Get(tenantHeader)
		if owner == "" {
			owner = localTenant
		}
		if !tenantForm.MatchString(owner) {
			return invalid(fieldError(tenantHeader, "1 to 128 letters, digits and . _ @ + - are allowed, a letter or digit first"))
		}
		c.Set(tenantKey, owner)
		return next(c)
	}
}

func owner(c echo.Context) string { return c.Get(tenantKey).(string) }

// onlyLocalHosts refuses requests that were made for another host's name: a
// web page must not reach this unauthenticated server by pointing a name of its
// own at the loopback address.
func onlyLocalHosts(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !localHost(c.Request().Host) {
			return &problem{
				Status: http.StatusForbidden, Code: contract.ProblemHostNotAllowed,
				Detail: "Without authentication this server answers to localhost only. Call it as localhost or 127.0.0.1.",
			}
		}
		return next(c)
	}
}

func localHost(hostport string) bool {
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
