package gateway

import (
	"time"

	"go.uber.org/zap"
)

// record is the one line in the access log that every request gets. It holds
// neither bodies nor headers.
type record struct {
	target   string
	model    string
	status   int // given to the sandbox; 0: it was gone
	denied   string
	cause    error // why the call ended early
	receipt  receipt
	cost     float64
	bytesIn  int64
	upstream bool
}

func (r record) fields(took time.Duration) []zap.Field {
	fields := []zap.Field{
		zap.String("request", r.target), zap.Int("status", r.status), zap.Duration("took", took),
	}
	if r.denied != "" {
		fields = append(fields, zap.String("denied", r.denied))
	}
	if r.model != "" {
		fields = append(fields, zap.String("model", r.model), zap.Int64("bytesIn", r.bytesIn))
	}
	if r.upstream {
		fields = append(fields,
			zap.Int("upstreamStatus", r.receipt.status), zap.Int64("bytesOut", r.receipt.bytesOut),
			zap.Any("tokens", r.receipt.tokens), zap.Float64("costUsd", r.cost), zap.Bool("estimated", r.receipt.estimated))
	}
	if r.cause != nil {
		fields = append(fields, zap.NamedError("cause", r.cause))
	}
	return fields
}
