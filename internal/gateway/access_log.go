package gateway

import (
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// accessRecord is the line of one request in the access log. It has no bodies and no headers.
type accessRecord struct {
	target    string
	model     string
	status    int // sent to the sandbox; 0: nothing was sent
	denied    string
	cause     error // why the call ended early
	broken    bool  // the response was cut, so the connection to the sandbox has to end
	usage     callUsage
	cost      float64
	bytesSent int64
	upstream  bool // the request was sent upstream
	tries     int  // of the request upstream
}

// countMetrics adds the request to the metrics of the process. The label is the requested model, which is one of the
// runtime's, and not the model that the provider names.
func (r accessRecord) countMetrics() {
	if !r.upstream {
		if r.denied != "" {
			metrics.ModelCalls.WithLabelValues("refused").Inc()
		}
		return
	}
	outcome := "none"
	if r.usage.status > 0 {
		outcome = strconv.Itoa(r.usage.status/100) + "xx"
	}
	metrics.ModelCalls.WithLabelValues(outcome).Inc()
	metrics.ModelTokens.WithLabelValues(r.model, "in").Add(float64(r.usage.tokens.Total() - r.usage.tokens.Output))
	metrics.ModelTokens.WithLabelValues(r.model, "out").Add(float64(r.usage.tokens.Output))
	metrics.ModelCost.WithLabelValues(r.model).Add(r.cost)
}

func (r accessRecord) fields(took time.Duration) []zap.Field {
	fields := []zap.Field{
		zap.String("request", r.target), zap.Int("status", r.status), zap.Duration("took", took),
	}
	if r.denied != "" {
		fields = append(fields, zap.String("denied", r.denied))
	}
	if r.model != "" {
		fields = append(fields, zap.String("model", r.model), zap.Int64("bytesSent", r.bytesSent))
	}
	if r.upstream {
		fields = append(fields,
			zap.Int("upstreamStatus", r.usage.status), zap.Int64("bytesReceived", r.usage.bytesReceived),
			zap.Any("tokens", r.usage.tokens), zap.Float64("costUsd", r.cost), zap.Bool("estimated", r.usage.estimated))
	}
	if r.tries > 1 {
		fields = append(fields, zap.Int("tries", r.tries))
	}
	if r.cause != nil {
		fields = append(fields, zap.NamedError("cause", r.cause))
	}
	return fields
}
