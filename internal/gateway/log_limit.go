package gateway

import (
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// maxLogLines is how many lines a job can write to the executor's log through its endpoint.
const maxLogLines = 100

// lineCount counts the lines of one endpoint, including those that are left out.
type lineCount struct{ atomic.Int64 }

func (c *lineCount) omitted() int64 { return max(0, c.Load()-maxLogLines) }

// limitLines returns a logger that leaves out all lines after the first maxLogLines.
func limitLines(log *zap.Logger) (*zap.Logger, *lineCount) {
	count := new(lineCount)
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return limitedCore{core, count} })), count
}

type limitedCore struct {
	zapcore.Core
	count *lineCount
}

func (c limitedCore) With(fields []zapcore.Field) zapcore.Core {
	return limitedCore{c.Core.With(fields), c.count}
}

func (c limitedCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) || c.count.Add(1) > maxLogLines {
		return checked
	}
	return c.Core.Check(entry, checked)
}

// logSummary writes the last line of an endpoint, if lines were left out.
func (e *Endpoint) logSummary() {
	omitted := e.logLines.omitted()
	if omitted == 0 {
		return
	}
	s := e.Summary()
	e.unlimitedLog.Info("egress: further lines were left out",
		zap.Int64("omittedLines", omitted), zap.Int64("requests", e.requestCount.Load()), zap.Int64("calls", s.Calls),
		zap.Int64("denied", s.Denied), zap.Any("tokens", s.Tokens), zap.Float64("costUsd", s.CostUSD),
		zap.Int64("estimatedCalls", s.EstimatedCalls))
}
