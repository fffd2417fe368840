package simulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// FairOptions are the parameters of Fair.
type FairOptions struct {
	Behind    int           // runs of the tenant that posts first
	Long      time.Duration // of each of these
	Short     time.Duration // of the other tenant's
	Repeat    int           // how many runs the other tenant makes, each after the one before
	Limit     time.Duration // for which one is waited for
	BatchAda  bool          // the first tenant posts a batch instead of single runs
	BatchBob  bool          // the same for the other tenant
	Clients   int
	SlotsOnly bool // measure only behind as many runs as there are slots
}

// Fair measures how long a tenant waits behind the runs of another: behind as many as there are slots, and behind many.
func Fair(ctx context.Context, o Options, p FairOptions) (Report, error) {
	lane := func(batch bool) string {
		if batch {
			return "batch"
		}
		return "runs"
	}
	r := newReport("fair", "executors", o.Executors, "slots", o.Slots, "behind", p.Behind, "long", p.Long, "short", p.Short,
		"first", lane(p.BatchAda), "second", lane(p.BatchBob))
	few, _, err := fairWaits(ctx, o, p, o.Executors*o.Slots)
	if err != nil {
		return r, err
	}
	r.waits("wait behind slots", few)
	if p.SlotsOnly {
		return r, nil
	}
	many, before, err := fairWaits(ctx, o, p, p.Behind)
	if errors.Is(err, errLimit) {
		r.Figures["did not start within the limit"] = 1
		many, err = append(many, p.Limit), nil
	}
	if err != nil {
		return r, err
	}
	r.waits("wait behind many", many)
	r.Figures["jobs that started before it"] = median(before)
	r.Figures["ratio of waits"] = r.Figures["wait behind many p50 ms"] / r.Figures["wait behind slots p50 ms"]
	return r, nil
}

// fairWaits returns how long each run of the second tenant waited for its start, and how many jobs started meanwhile.
func fairWaits(ctx context.Context, o Options, p FairOptions, behind int) (waits []time.Duration, before []float64, err error) {
	f, err := Start(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	defer f.closeInto(&err)
	ada, err := f.warmUp(ctx, "ada")
	if err != nil {
		return nil, nil, err
	}
	bob, err := f.newTenant(ctx, "bob")
	if err != nil {
		return nil, nil, err
	}
	left, _, _ := f.sandboxes.count() // starts after which nothing of the first tenant is left
	for i := range p.Repeat {
		starts, _, _ := f.sandboxes.count()
		if missing := behind - max(0, left-starts); missing > 0 { // what has started since is replaced
			if err := f.postAndFill(ctx, ada, p, missing); err != nil {
				return waits, before, err
			}
			left = max(left, starts) + missing
		}
		post, in := bob.post, Input{Wait: p.Short.String(), Mark: fmt.Sprintf("bob-%d", i)}
		if p.BatchBob {
			post = func(ctx context.Context, in Input) (accepted, error) { return bob.postBatch(ctx, 1, in) }
		}
		startsBefore, _, _ := f.sandboxes.count()
		a, err := post(ctx, in)
		if err != nil {
			return waits, before, err
		}
		started, err := f.awaitStart(ctx, a.mark, p.Limit)
		startsNow, _, _ := f.sandboxes.count()
		before = append(before, float64(startsNow-startsBefore-1))
		if err != nil {
			return waits, before, err
		}
		waits = append(waits, max(0, started.Sub(a.at)))
		if behind <= f.slots() {
			if err := f.awaitIdle(ctx); err != nil {
				return waits, before, err
			}
		}
	}
	return waits, before, nil
}

// postAndFill posts what the other tenant waits behind. If that is as much as there are slots, no job ends before all
// of them run: else a slot might be free when the other tenant posts. Batches leave some slots free.
func (f *Fleet) postAndFill(ctx context.Context, t tenant, p FairOptions, behind int) error {
	if behind != f.slots() || p.BatchAda {
		return f.postFirst(ctx, t, p, behind)
	}
	release := f.sandboxes.hold()
	defer release()
	return errors.Join(f.postFirst(ctx, t, p, behind), f.awaitRunning(ctx, behind, p.Limit))
}

// postFirst posts what the other tenant waits behind.
func (f *Fleet) postFirst(ctx context.Context, t tenant, p FairOptions, behind int) error {
	in := Input{Wait: p.Long.String()}
	if p.BatchAda {
		_, err := t.postBatch(ctx, behind, in)
		return err
	}
	return t.postMany(ctx, behind, p.Clients, in)
}

// awaitIdle waits until no job runs.
func (f *Fleet) awaitIdle(ctx context.Context) error {
	return await(ctx, limit, "the end of all jobs", func() (bool, <-chan struct{}) {
		_, running, changed := f.sandboxes.count()
		return running == 0, changed
	})
}

func median[T cmp.Ordered](values []T) (middle T) {
	if len(values) == 0 {
		return middle
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
