package api

import (
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

func requestID(c echo.Context) string {
	return c.Response().Header().Get(echo.HeaderXRequestID)
}

// accessLog writes one line per request, without its body or query.
func (s *Server) accessLog(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		started := time.Now()
		if err := next(c); err != nil {
			c.Error(err) // writes the answer, so that its status is known below
		}
		s.logRequest(c, time.Since(started))
		return nil
	}
}

// logRequest is by itself, as is recordCall, because what a line needs of the
// stack would otherwise be kept by each poll that waits.
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
