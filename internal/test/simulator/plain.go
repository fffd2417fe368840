package simulator

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// closeInto closes the fleet at the end of a scenario.
func (f *Fleet) closeInto(err *error) { *err = errors.Join(*err, f.Close()) }

// limit is how long a scenario waits for what should happen soon.
const limit = 5 * time.Minute

// PlainOptions are the parameters of Plain.
type PlainOptions struct {
	Executions int           // under load
	Lone       int           // one after the other, before
	Clients    int           // that post at the same time
	Wait       time.Duration // of each job
	Baseline   time.Duration // for which the idle fleet is measured; its costs are subtracted
}

// Plain measures executions that nobody watches: what each costs, how many are accepted and executed a second, and how
// long a lone run waits from its acceptance to its start.
func Plain(ctx context.Context, o Options, p PlainOptions) (r Report, err error) {
	r = newReport("plain", "executors", o.Executors, "apis", o.APIs, "slots", o.Slots, "executions", p.Executions, "clients", p.Clients, "wait", p.Wait)
	f, err := Start(ctx, o)
	if err != nil {
		return r, err
	}
	defer f.closeInto(&err)
	ada, err := f.warmUp(ctx, "ada")
	if err != nil {
		return r, err
	}
	if err := f.measureLone(ctx, ada, p.Lone, &r); err != nil {
		return r, err
	}
	idle, idleFor := f.measure(ctx, p.Baseline)

	finished, succeeded, _ := f.Observer.Finished()
	before, began := f.Meter.Counts(), time.Now()
	if err := ada.postMany(ctx, p.Executions, p.Clients, Input{Wait: p.Wait.String()}); err != nil {
		return r, err
	}
	accepted := time.Since(began)
	if err := f.awaitFinished(ctx, finished+p.Executions); err != nil {
		return r, err
	}
	executed := time.Since(began)
	sleep(ctx, settle)
	counts, took := f.Meter.Counts().Since(before), time.Since(began)
	_, succeededNow, _ := f.Observer.Finished()
	if succeededNow-succeeded != p.Executions {
		return r, fmt.Errorf("%d of %d executions succeeded", succeededNow-succeeded, p.Executions)
	}

	n := float64(p.Executions)
	r.perExecution(counts, p.Executions)
	r.Figures["accepts/s"], r.Figures["executions/s"] = n/accepted.Seconds(), n/executed.Seconds()
	if idleFor > 0 && p.Baseline > 0 {
		share := took.Seconds() / idleFor.Seconds()
		for figure, kind := range map[string]Kind{"reads": Reads, "writes": Writes} {
			r.Figures["net "+figure+" per execution"] = (float64(counts.Sum(kind)) - share*float64(idle.Sum(kind))) / n
		}
	}
	return r, ctx.Err()
}

const (
	// settle is how long what follows an end may take: signals and acknowledgements.
	settle = time.Second
	// warmUpRuns open connections and fill caches.
	warmUpRuns = 8
)

// warmUp returns a tenant whose first runs have ended.
func (f *Fleet) warmUp(ctx context.Context, name string) (tenant, error) {
	t, err := f.newTenant(ctx, name)
	if err != nil {
		return t, err
	}
	finished, _, _ := f.Observer.Finished()
	if err := t.postMany(ctx, warmUpRuns, warmUpRuns, Input{}); err != nil {
		return t, err
	}
	return t, f.awaitFinished(ctx, finished+warmUpRuns)
}

// measureLone runs n executions, each after the one before, and reports how long they took.
func (f *Fleet) measureLone(ctx context.Context, t tenant, n int, r *Report) error {
	var toStart, toEnd, toAccept []time.Duration
	for i := range n {
		began := time.Now()
		a, err := t.post(ctx, Input{Mark: fmt.Sprintf("lone-%d", i)})
		if err != nil {
			return err
		}
		started, err := f.awaitStart(ctx, a.mark, limit)
		if err != nil {
			return err
		}
		ended, err := f.awaitEnd(ctx, a.id, limit)
		if err != nil {
			return err
		}
		toAccept, toStart, toEnd = append(toAccept, a.at.Sub(began)), append(toStart, max(0, started.Sub(a.at))), append(toEnd, ended.Sub(began))
	}
	r.waits("accept", toAccept)
	r.waits("202 to start", toStart)
	r.waits("POST to end", toEnd)
	return nil
}
