package simulator

import (
	"context"
	"time"
)

// Idle measures a fleet of which nothing is asked.
func Idle(ctx context.Context, o Options, warmUp, period time.Duration) (r Report, err error) {
	r = newReport("idle", "executors", o.Executors, "apis", o.APIs, "slots", o.Slots, "period", period)
	f, err := Start(ctx, o)
	if err != nil {
		return r, err
	}
	defer f.closeInto(&err)
	sleep(ctx, warmUp)
	counts, took := f.measure(ctx, period)
	r.Counts = counts
	r.perSecond("", counts, took)
	return r, ctx.Err()
}

// measure returns what is counted during a period.
func (f *Fleet) measure(ctx context.Context, period time.Duration) (Counts, time.Duration) {
	before, began := f.Meter.Counts(), time.Now()
	sleep(ctx, period)
	return f.Meter.Counts().Since(before), time.Since(began)
}
