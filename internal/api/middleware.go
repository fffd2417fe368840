package api

import (
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// useMiddleware adds what every request passes before its handler, the outermost first. A response header for all
// routes is added here.
func (s *Server) useMiddleware() {
	s.echo.Use(
		middleware.RequestID(),
		s.traceRequest,
		s.accessLog,
		s.audit,
		middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: s.logPanic}),
		middleware.CORSWithConfig(middleware.CORSConfig{
			AllowOrigins: s.config.Origins,
			AllowHeaders: []string{
				echo.HeaderContentType, echo.HeaderAuthorization, tenantHeader, operatorHeader, headerIfNoneMatch, headerPrefer, headerIdempotencyKey,
			},
			ExposeHeaders: []string{
				echo.HeaderLocation, echo.HeaderRetryAfter, echo.HeaderXRequestID, echo.HeaderWWWAuthenticate, headerETag,
				headerPreferenceApplied, headerReplayed,
			},
		}),
		middleware.SecureWithConfig(middleware.SecureConfig{
			ContentTypeNosniff:    "nosniff",
			XFrameOptions:         "DENY",
			ReferrerPolicy:        "no-referrer",
			ContentSecurityPolicy: "default-src 'none'; frame-ancestors 'none'", // the web page and /docs set their own
		}),
	)
	// The authenticator's type decides this, so no configuration can serve dev authentication to other hosts.
	if _, isDev := s.config.Auth.(DevAuthenticator); isDev {
		s.echo.Use(requireLocalHost)
	}
	s.echo.Use(limitHeaders, s.limitBodyTime, s.authenticate, discardGetBody, validateParameters, s.replayDuplicates)
}

func requestID(c echo.Context) string {
	return c.Response().Header().Get(echo.HeaderXRequestID)
}

// accessLog logs each request, without its body and query.
func (s *Server) accessLog(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := time.Now()
		if err := next(c); err != nil {
			c.Error(err) // writes the response, so that its status is known below
		}
		s.logRequest(c, time.Since(started))
		return nil
	}
}

// logRequest is a function of its own, as is logAuditEntry: its stack would otherwise stay allocated while a long poll
// waits.
func (s *Server) logRequest(c echo.Context, took time.Duration) {
	observeRequest(c, took)
	s.log.Debug("request", zap.String("request", requestID(c)), trace.LogField(c.Request().Context()),
		zap.String("method", c.Request().Method), zap.String("path", c.Request().URL.Path),
		zap.Int("status", c.Response().Status), zap.Duration("took", took))
}

func (s *Server) logPanic(c echo.Context, err error, stack []byte) error {
	s.log.Error("panic", zap.String("request", requestID(c)), zap.Error(err), zap.ByteString("stack", stack))
	return echo.ErrInternalServerError
}

// discardGetBody reads the body of a GET, which no operation uses. net/http notices that a client disconnected only
// after it has read the whole body.
func discardGetBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if r := c.Request(); r.Method == http.MethodGet {
			if _, err := io.Copy(io.Discard, http.MaxBytesReader(c.Response(), r.Body, maxBodyBytes)); err != nil {
				return invalidField("body", "is too large; a GET takes no body")
			}
		}
		return next(c)
	}
}
