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

// untraced are asked for by machines, over and over.
var untracedPaths = []string{"/healthz", "/readyz", "/metrics", "/assets/*"}

// traced makes each request a span, named by its route, in the trace that the
// caller's traceparent names if there is one. It goes around accessLog, which
// has the answer written when it returns.
func (s *Server) traceRequest(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if slices.Contains(untracedPaths, c.Path()) {
			return next(c)
		}
		r := c.Request()
		ctx, span := s.config.Tracer.Start(trace.WithTraceparent(r.Context(), r.Header.Get("traceparent")), strings.TrimSpace(methodLabel(r)+" "+c.Path()), oteltrace.WithSpanKind(oteltrace.SpanKindServer), oteltrace.WithAttributes(
			semconv.HTTPRequestMethodKey.String(methodLabel(r)), semconv.HTTPRoute(c.Path())))
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
