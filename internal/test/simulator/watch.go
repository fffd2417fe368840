package simulator

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Watch measures executions whose end is watched by long polls at some of the processes of the API: how many signals
// are delivered for each end, and how long the answer takes.
func Watch(ctx context.Context, o Options, executions, watchers int, wait time.Duration) (r Report, err error) {
	watchers = min(watchers, max(1, o.APIs))
	r = newReport("watch", "executors", o.Executors, "apis", o.APIs, "slots", o.Slots, "executions", executions, "watchers", watchers, "wait", wait)
	f, err := Start(ctx, o)
	if err != nil {
		return r, err
	}
	defer f.closeInto(&err)
	ada, err := f.warmUp(ctx, "ada")
	if err != nil {
		return r, err
	}
	sleep(ctx, settle)
	before := f.Meter.Counts()
	var answers []time.Duration
	for i := range executions {
		a, err := ada.post(ctx, Input{Wait: wait.String(), Mark: fmt.Sprintf("watched-%d", i)})
		if err != nil {
			return r, err
		}
		answered := make([]time.Time, watchers)
		var polls errgroup.Group
		for w := range watchers {
			polls.Go(func() error {
				watcher := ada
				watcher.url = f.apis[w].url
				err := watcher.watch(ctx, a.id)
				answered[w] = time.Now()
				return err
			})
		}
		if err := polls.Wait(); err != nil {
			return r, err
		}
		ended, err := f.awaitEnd(ctx, a.id, limit)
		if err != nil {
			return r, err
		}
		for _, at := range answered {
			answers = append(answers, at.Sub(ended))
		}
	}
	sleep(ctx, settle)
	counts := f.Meter.Counts().Since(before)
	r.perExecution(counts, executions)
	r.Figures["signals per end"] = float64(counts.Signals()) / float64(executions)
	r.waits("end to answer", answers)
	return r, ctx.Err()
}
