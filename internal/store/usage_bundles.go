package store

import (
	"errors"
	"fmt"
	"sync"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// Usage is counted exactly once, and no document is written for each execution:
//
//   - The write that ends an execution stores the name of a bundle in it. The process adds the usage to that bundle.
//   - FlushUsage writes a bundle in one transaction: it adds to the usage of the tenants, and records in the document
//     of its writer that all bundles up to this one are counted. So a flush whose answer was lost is not repeated.
//   - A bundle is not flushed while it is unknown whether an execution of it has ended.
//   - When the session of a process has expired, RecoverUsage finds the executions whose bundle was never flushed.
//
// The writer of a bundle has the name of the session in which the bundle was begun.

// Bounds of a bundle. Its flush writes a document or two for each tenant and day, of up to 500 KiB each; Firestore
// takes 10 MiB in one commit.
const (
	maxBundleExecutions = 500
	maxBundleTenants    = 8
)

// usageRecorder has the bundles of a process that are not flushed yet. It is safe for concurrent use.
type usageRecorder struct {
	flushing sync.Mutex // held by the one flush under way

	mu      sync.Mutex
	session func() (id string, ok bool)
	writer  string         // of the next bundle: the newest session
	writers []*usageWriter // with bundles to flush; the newest is last
	ends    map[execution.Ref]*endUnderWay
	full    chan struct{} // gets a value when a bundle is full
}

// usageWriter has the bundles of one session, the oldest first. Only the last one may be open.
type usageWriter struct {
	name    string
	newest  int // number of the newest bundle
	sealed  bool
	bundles []*usageBundle
}

type usageBundle struct {
	writer  *usageWriter
	number  int
	closed  bool // takes no more executions
	pending int  // executions of which it is open whether they end in this bundle
	tenants map[string]bool
	entries map[execution.Ref]usage.Entry
}

// endUnderWay is an execution that events are being applied to. All of them use the same bundle, because the write of
// any of them may take effect last.
type endUnderWay struct {
	applies int          // calls of Apply under way
	bundle  *usageBundle // nil: none of them was about to end the execution
	unknown bool         // the outcome of a write that ends the execution is unknown
}

func newUsageRecorder() *usageRecorder {
	return &usageRecorder{
		session: func() (string, bool) { return "", false },
		writer:  id.New(id.Process) + ".0", // until there is a session
		ends:    map[execution.Ref]*endUnderWay{}, full: make(chan struct{}, 1),
	}
}

// UseSession sets what names the session of this process, if it has one. When the session has expired, its usage can be
// recovered.
func (s *Store) UseSession(session func() (id string, ok bool)) {
	s.usage.mu.Lock()
	defer s.usage.mu.Unlock()
	s.usage.session = session
}

// UsageBundleFull gets a value when a bundle is full, so that it is flushed before its time.
func (s *Store) UsageBundleFull() <-chan struct{} { return s.usage.full }

func (b *usageBundle) name() string { return bundleName(b.writer.name, b.number) }

// bundleName gives names whose order is that of the numbers. They begin with a random name, so the index of all of them
// has no range that every process writes to.
func bundleName(writer string, number int) string { return fmt.Sprintf("%s/%010d", writer, number) }

// bundlesAfter returns the bounds of the names of a writer's bundles after a number.
func bundlesAfter(writer string, number int) (after, before string) {
	return bundleName(writer, number), writer + "0" // "0" is behind "/"
}

// beginApply is called before an event is applied, and endApply afterwards.
func (r *usageRecorder) beginApply(ref execution.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ends[ref] == nil {
		r.ends[ref] = new(endUnderWay)
	}
	r.ends[ref].applies++
}

// bundleFor returns the name of the bundle in which an execution ends.
func (r *usageRecorder) bundleFor(ref execution.Ref) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.ends[ref]
	if end.bundle == nil {
		end.bundle = r.openBundle(ref.Tenant)
		end.bundle.pending++
		end.bundle.tenants[ref.Tenant] = true
	}
	return end.bundle.name()
}

// openBundle returns a bundle that takes an execution of the tenant. The caller holds mu.
func (r *usageRecorder) openBundle(tenant string) *usageBundle {
	if session, ok := r.session(); ok {
		r.writer = session
	}
	var w *usageWriter
	if n := len(r.writers); n > 0 && r.writers[n-1].name == r.writer {
		w = r.writers[n-1]
	} else {
		w = &usageWriter{name: r.writer}
		r.writers = append(r.writers, w)
	}
	if n := len(w.bundles); n > 0 && !w.bundles[n-1].closed {
		b := w.bundles[n-1]
		if len(b.entries)+b.pending < maxBundleExecutions && (len(b.tenants) < maxBundleTenants || b.tenants[tenant]) {
			return b
		}
		b.closed = true
		select {
		case r.full <- struct{}{}:
		default:
		}
	}
	w.newest++
	b := &usageBundle{writer: w, number: w.newest, tenants: map[string]bool{}, entries: map[execution.Ref]usage.Entry{}}
	w.bundles = append(w.bundles, b)
	return b
}

// endApply adds the execution to its bundle if it has ended there.
func (r *usageRecorder) endApply(ref execution.Ref, d *decision, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.ends[ref]
	end.applies--
	if end.bundle != nil {
		switch {
		case err == nil && d.Execution.UsageBundle == end.bundle.name():
			end.commit(&d.Execution)
		case errors.Is(err, execution.ErrTerminal) && d.before.UsageBundle == end.bundle.name():
			end.commit(&d.before) // by an earlier write whose outcome was unknown
		case errors.Is(err, ErrOutcomeUnknown):
			end.unknown = true
		}
	}
	r.forget(ref, end)
}

func (end *endUnderWay) commit(e *execution.Execution) {
	end.bundle.entries[e.Ref()] = usage.EntryOf(e)
	end.unknown = false
}

// forget ends the wait for an execution, unless its end is still open. The caller holds mu.
func (r *usageRecorder) forget(ref execution.Ref, end *endUnderWay) {
	if end.applies > 0 || end.unknown {
		return
	}
	if end.bundle != nil {
		end.bundle.pending--
	}
	delete(r.ends, ref)
}

// closeBundles closes the open bundle, and returns the writers that have bundles. Older writers without any are
// forgotten.
func (r *usageRecorder) closeBundles() []*usageWriter {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kept []*usageWriter
	for i, w := range r.writers {
		if len(w.bundles) > 0 || i == len(r.writers)-1 {
			kept = append(kept, w)
		}
		for _, b := range w.bundles {
			b.closed = true
		}
	}
	r.writers = kept
	return append([]*usageWriter(nil), kept...)
}

// oldestBundle returns the oldest bundle of a writer, if it is closed, and the executions in it whose end is unknown
// and that nothing is being applied to. Without a bundle it returns nil.
func (r *usageRecorder) oldestBundle(w *usageWriter) (b *usageBundle, unknown []execution.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(w.bundles) == 0 || !w.bundles[0].closed {
		return nil, nil
	}
	b = w.bundles[0]
	for ref, end := range r.ends {
		if end.bundle == b && end.unknown && end.applies == 0 {
			unknown = append(unknown, ref)
		}
	}
	return b, unknown
}

// settle records the outcome of a write that was unknown. ended is nil if the execution has not ended in this bundle,
// and never will.
func (r *usageRecorder) settle(ref execution.Ref, ended *execution.Execution) {
	r.mu.Lock()
	defer r.mu.Unlock()
	end := r.ends[ref]
	if end == nil || end.applies > 0 || !end.unknown {
		return // an event is being applied again; its outcome counts
	}
	end.unknown = false
	if ended != nil {
		end.commit(ended)
	}
	r.forget(ref, end)
}

// complete reports whether it is known of every execution whether it ended in a closed bundle.
func (r *usageRecorder) complete(b *usageBundle) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return b.pending == 0
}

// drop forgets the oldest bundle of a writer, which is counted.
func (r *usageRecorder) drop(w *usageWriter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.bundles = w.bundles[1:]
}

// unflushed returns what the tenant has spent on a day in bundles that are not flushed.
func (r *usageRecorder) unflushed(tenant, day string) (nanoUSD int64, agents map[string]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	agents = map[string]int64{}
	for _, w := range r.writers {
		for _, b := range w.bundles {
			if !b.tenants[tenant] {
				continue
			}
			for _, e := range b.entries {
				if e.Tenant == tenant && e.Day == day {
					nanoUSD += e.Counts.CostNanoUSD
					agents[e.Key.AgentID] += e.Counts.CostNanoUSD
				}
			}
		}
	}
	return nanoUSD, agents
}
