package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// Metrics shows what the process has counted, unless that is shown elsewhere.
func (s *Server) Metrics(c echo.Context) error {
	if s.config.Metrics == nil {
		return echo.ErrNotFound
	}
	s.config.Metrics.ServeHTTP(c.Response(), c.Request())
	return nil
}

// waits marks a request that is open for as long as its caller wants it to be,
// whose time says nothing about the server.
const longPollKey = "waits"

// methods are those that a label may name: a caller may make up others.
var knownMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

func methodLabel(r *http.Request) string {
	if slices.Contains(knownMethods, r.Method) {
		return r.Method
	}
	return "other"
}

// count counts a request that has been answered.
func observeRequest(c echo.Context, took time.Duration) {
	method, route := methodLabel(c.Request()), c.Path()
	metrics.HTTPRequests.WithLabelValues(method, route, strconv.Itoa(c.Response().Status)).Inc()
	if c.Get(longPollKey) == nil {
		metrics.HTTPRequestDuration.WithLabelValues(method, route).Observe(took.Seconds())
	}
}
