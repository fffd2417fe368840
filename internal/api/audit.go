package api

import (
	"cmp"
	"net/http"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// audit logs each request that could change something, also a rejected one: who did what to which resource, and the
// outcome. An entry never contains a body, a query or credentials.
func (s *Server) audit(next echo.HandlerFunc) echo.HandlerFunc {
	log := s.log.Named("audit")
	return func(c echo.Context) error {
		err := next(c)
		switch c.Request().Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
		default:
			logAuditEntry(log, c, err)
		}
		return err
	}
}

func logAuditEntry(log *zap.Logger, c echo.Context, err error) {
	identity, _ := c.Get(callerKey).(tenant.Caller) // the zero Caller if the request was rejected before
	status, code := c.Response().Status, ""
	if err != nil && clientDisconnected(c, err) {
		status = statusClientClosedRequest
	} else if err != nil {
		p := problemFor(err)
		status, code = p.Status, string(p.Code)
	}
	resource := cmp.Or(c.Param("id"), c.Param("name"))
	if location := c.Response().Header().Get(echo.HeaderLocation); location != "" {
		resource = location
	}
	log.Info("call",
		zap.String("tenant", identity.Tenant), zap.String("caller", identity.Subject), zap.String("address", c.RealIP()),
		zap.String("route", c.Request().Method+" "+c.Path()), zap.String("resource", resource), zap.String("request", requestID(c)),
		zap.Int("status", status), zap.String("code", code), zap.Bool("replayed", c.Response().Header().Get(headerReplayed) != ""))
}
