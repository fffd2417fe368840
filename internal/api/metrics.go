package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// longPollKey marks a long poll: its duration says nothing about the server.
const longPollKey = "longPoll"

// knownMethods are the methods that a metric names. A client may invent others.
var knownMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

func methodLabel(r *http.Request) string {
	if slices.Contains(knownMethods, r.Method) {
		return r.Method
	}
	return "other"
}

// observeRequest counts a request that was answered.
func observeRequest(c echo.Context, took time.Duration) {
	method, route := methodLabel(c.Request()), c.Path()
	metrics.HTTPRequests.WithLabelValues(method, route, strconv.Itoa(c.Response().Status)).Inc()
	if c.Get(longPollKey) == nil {
		metrics.HTTPRequestDuration.WithLabelValues(method, route).Observe(took.Seconds())
	}
}
