package api

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// untracedPaths are paths that programs request again and again.
var untracedPaths = []string{"/healthz", "/readyz", "/metrics", "/assets/*"}

// traceRequest makes each request a span, named by its route. The span belongs to the trace of the request's
// traceparent, if it has one. It must be outside accessLog, which has written the response when it returns.
func (s *Server) traceRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if slices.Contains(untracedPaths, c.Path()) {
			return next(c)
		}
		r := c.Request()
		method := methodLabel(r)
		ctx, span := s.config.Tracer.Start(
			trace.WithTraceparent(r.Context(), r.Header.Get("traceparent")), strings.TrimSpace(method+" "+c.Path()),
			oteltrace.WithSpanKind(oteltrace.SpanKindServer),
			oteltrace.WithAttributes(semconv.HTTPRequestMethodKey.String(method), semconv.HTTPRoute(c.Path())),
		)
		defer span.End()
		c.SetRequest(r.WithContext(ctx))
		err := next(c)
		status := c.Response().Status
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		return err
	}
}
