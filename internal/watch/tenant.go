package watch

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
)

const (
	// feedCapacity is how many changes of a tenant a process keeps for clients that come back.
	feedCapacity = 1000
	// feedLinger is how long a process keeps them when no client is left.
	feedLinger = 5 * time.Minute
	// renewCheckInterval is how often the process looks, in memory, whether it must renew a registration.
	renewCheckInterval = 5 * time.Second
	// renewTenantAfter is the age after which a registration is renewed while clients follow the tenant.
	renewTenantAfter = store.TenantWatch / 2
	// tellAgainAfter is when the processes that run executions of the tenant are told again: one of them may have read the
	// tenant before the registration and stored its claim afterwards. A claim takes at most this long.
	tellAgainAfter = 5 * time.Second
)

// Change is one change in the feed of a tenant: of an execution, or, if Budget is set, a warning about a daily budget.
type Change struct {
	ID string // the position in the feed after this change
	signal.Change
	Budget *signal.Budget
	At     time.Time
}

// tenantFeed has the newest changes of a tenant's executions, for all clients of the process that follow them. The lock
// of the registry guards it.
type tenantFeed struct {
	epoch       string // distinguishes this feed from those of other processes, and from an earlier one
	changes     []Change
	next        int // number of the next change
	subscribers map[broadcast.Signal]struct{}

	registeredAt time.Time // zero: not registered
	tellAgainAt  time.Time // zero: nobody must be told again
	idleSince    time.Time // when the last subscriber left
}

// Feed is one client's place in the feed of a tenant.
type Feed struct {
	// Notified receives when there may be more changes.
	Notified <-chan struct{}
	registry *Registry
	tenant   string
	wake     broadcast.Signal
	feed     *tenantFeed
	next     int
}

// Follow returns a tenant's feed, behind the change with the ID after, or from now on if after is empty. gap reports
// that changes after that ID are not known here. The caller must Close it.
func (r *Registry) Follow(tenant, after string) (f *Feed, gap bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	feed := r.tenants[tenant]
	if feed == nil {
		feed = &tenantFeed{epoch: id.New(""), subscribers: map[broadcast.Signal]struct{}{}}
		r.tenants[tenant] = feed
	}
	wake := broadcast.NewSignal()
	feed.subscribers[wake] = struct{}{}
	f = &Feed{Notified: wake, registry: r, tenant: tenant, wake: wake, feed: feed, next: feed.next}
	if after != "" {
		var known bool
		if f.next, known = feed.after(after); !known {
			f.next, gap = feed.next, true
		}
	}
	return f, gap
}

// after returns the number of the first change behind that with an ID, if all changes behind it are known.
func (t *tenantFeed) after(changeID string) (next int, ok bool) {
	epoch, number, _ := strings.Cut(changeID, "-")
	n, err := strconv.Atoi(number)
	if err != nil || epoch != t.epoch || n > t.next || n < t.next-len(t.changes) {
		return 0, false
	}
	return n, true
}

func (t *tenantFeed) position(next int) string { return fmt.Sprintf("%s-%d", t.epoch, next) }

// Position returns the ID behind which Next continues.
func (f *Feed) Position() string { return f.feed.position(f.next) }

// Next returns the changes since the last call. gap reports that the client was too slow, and that changes between
// those of the last call and of this one are lost.
func (f *Feed) Next() (changes []Change, gap bool) {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	first := f.feed.next - len(f.feed.changes)
	gap = f.next < first
	changes = slices.Clone(f.feed.changes[max(0, f.next-first):])
	f.next = f.feed.next
	return changes, gap
}

// Close ends the client's use of the feed.
func (f *Feed) Close() {
	f.registry.mu.Lock()
	defer f.registry.mu.Unlock()
	delete(f.feed.subscribers, f.wake)
	if len(f.feed.subscribers) == 0 {
		f.feed.idleSince = time.Now()
	}
}

// addToFeed adds a change to the feed of its tenant, if somebody follows it here.
func (r *Registry) addToFeed(sig signal.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	feed := r.tenants[sig.Tenant]
	if feed == nil {
		return
	}
	feed.next++
	ch := Change{ID: feed.position(feed.next), Budget: sig.Budget, At: sig.At}
	if sig.Change != nil {
		ch.Change = *sig.Change
	}
	feed.changes = append(feed.changes, ch)
	if len(feed.changes) > feedCapacity {
		feed.changes = slices.Delete(feed.changes, 0, len(feed.changes)-feedCapacity)
	}
	for wake := range feed.subscribers {
		wake.Notify()
	}
}

// RegisterTenant makes the process a watcher of the tenant's changes, if it is not. Run renews that while clients
// follow the tenant.
func (f *Feed) RegisterTenant(ctx context.Context) error {
	return f.registry.registerTenant(ctx, f.tenant, f.feed)
}

func (r *Registry) registerTenant(ctx context.Context, tenant string, feed *tenantFeed) error {
	r.mu.Lock()
	fresh := time.Since(feed.registeredAt) < renewTenantAfter
	r.mu.Unlock()
	if fresh {
		return nil
	}
	startedAt := time.Now()
	if err := r.store.WatchTenant(ctx, tenant, r.process); err != nil {
		return err
	}
	r.mu.Lock()
	feed.registeredAt, feed.tellAgainAt = startedAt, startedAt.Add(tellAgainAfter)
	r.mu.Unlock()
	return nil
}

// renewTenants renews the registrations of tenants that clients follow, and forgets feeds without clients.
func (r *Registry) renewTenants(ctx context.Context) error {
	r.mu.Lock()
	followed := map[string]*tenantFeed{}
	var tellAgain []string
	for tenant, feed := range r.tenants {
		switch {
		case len(feed.subscribers) > 0:
			followed[tenant] = feed
			if !feed.tellAgainAt.IsZero() && time.Now().After(feed.tellAgainAt) {
				feed.tellAgainAt = time.Time{}
				tellAgain = append(tellAgain, tenant)
			}
		case time.Since(feed.idleSince) > feedLinger:
			delete(r.tenants, tenant)
		}
	}
	r.mu.Unlock()
	for _, tenant := range tellAgain {
		if err := r.store.TellWatch(ctx, tenant, r.process); err != nil {
			r.log.Warn("could not tell executors who watches a tenant", zap.String("tenant", tenant), zap.Error(err))
		}
	}
	for tenant, feed := range followed {
		if err := r.registerTenant(ctx, tenant, feed); err != nil {
			r.log.Warn("could not renew the registration as a watcher of a tenant", zap.String("tenant", tenant), zap.Error(err))
		}
	}
	return nil
}
