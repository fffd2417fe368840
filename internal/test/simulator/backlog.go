package simulator

import (
	"context"
	"fmt"
	"time"
)

// BacklogOptions are the parameters of RunBacklog.
type BacklogOptions struct {
	Backlog
	WarmUp     time.Duration // after all slots are busy, before the first measurement
	Period     time.Duration // of the measurement while all slots are busy
	Executions int           // measured after that, while the backlog runs
}

// RunBacklog measures a fleet in which many executions wait: what it reads and writes while all slots are busy with
// jobs that do not end, and then what each execution costs.
func RunBacklog(ctx context.Context, o Options, p BacklogOptions) (r Report, err error) {
	r = newReport("backlog", "executors", o.Executors, "slots", o.Slots, "tenants", p.Tenants, "each", p.Each, "executions", p.Executions, "wait", p.Input.Wait)
	began := time.Now()
	f, release, err := StartWithBacklog(ctx, o, p.Backlog)
	if err != nil {
		return r, err
	}
	defer f.closeInto(&err)
	defer release()
	r.Figures["seconds to prepare"] = time.Since(began).Seconds()
	sleep(ctx, p.WarmUp)
	quiet, took := f.measure(ctx, p.Period)
	r.perSecond("all slots busy: ", quiet, took)

	release()
	finished, _, _ := f.Observer.Finished()
	if err := f.awaitFinished(ctx, finished+2*f.slots()); err != nil { // so that the jobs do not end all at once
		return r, err
	}
	finished, succeeded, _ := f.Observer.Finished()
	before, began := f.Meter.Counts(), time.Now()
	if err := f.awaitFinished(ctx, finished+p.Executions); err != nil {
		return r, err
	}
	counts, took := f.Meter.Counts().Since(before), time.Since(began)
	finishedNow, succeededNow, _ := f.Observer.Finished()
	if finishedNow-finished != succeededNow-succeeded {
		return r, fmt.Errorf("%d of %d executions succeeded", succeededNow-succeeded, finishedNow-finished)
	}
	r.perExecution(counts, finishedNow-finished)
	r.Figures["executions/s"] = float64(finishedNow-finished) / took.Seconds()
	return r, ctx.Err()
}

// Dead measures how long the executions of an executor that dies are lost while others wait: until they are queued
// again.
func Dead(ctx context.Context, o Options, b Backlog, warmUp, longest time.Duration) (r Report, err error) {
	r = newReport("dead", "executors", o.Executors, "slots", o.Slots, "tenants", b.Tenants, "each", b.Each)
	f, release, err := StartWithBacklog(ctx, o, b)
	if err != nil {
		return r, err
	}
	defer f.closeInto(&err)
	defer release()
	sleep(ctx, warmUp)
	victims := f.sandboxes.of(f.executors[0].name)
	f.kill(0)
	defer f.revive(0)
	killed := time.Now()
	var waits []time.Duration
	for _, victim := range victims {
		err := await(ctx, longest-time.Since(killed), "the requeueing of "+victim, func() (bool, <-chan struct{}) {
			at, changed := f.Observer.requeuedAt(victim)
			if at.IsZero() {
				return false, changed
			}
			waits = append(waits, at.Sub(killed))
			return true, changed
		})
		if err != nil {
			r.Figures["not queued again within the limit"]++
			waits = append(waits, longest)
		}
	}
	r.Figures["running executions of the dead executor"] = float64(len(victims))
	r.waits("queued again after", waits)
	if len(waits) > 0 {
		r.Figures["queued again after max ms"] = milliseconds(waits[len(waits)-1])
	}
	return r, ctx.Err()
}
