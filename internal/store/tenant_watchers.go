package store

import (
	"context"
	"sync"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// TenantWatch is how long a process that has called WatchTenant gets the changes of the tenant.
const TenantWatch = time.Hour

const (
	// tenantWatchersMaxAge is how old a cached list of a tenant's watchers may be for a change that no attempt of this
	// process makes.
	tenantWatchersMaxAge = 5 * time.Second
	// maxWatchedTenants bounds the cache. When it is full it begins anew: a list can be read again.
	maxWatchedTenants = 10_000
	// maxToldExecutions bounds how many running executions WatchTenant reads, and maxToldProcesses how many processes it
	// informs. Those that it leaves out learn of the watcher with their next claim of the tenant.
	maxToldExecutions, maxToldProcesses = 1000, 100
)

// watchedTenants caches which processes watch the changes of each tenant. A process that runs an attempt knows the
// watchers from its claim, and gets a signal when another process begins to watch. So the end of an attempt needs no
// read.
type watchedTenants struct {
	mu       sync.Mutex
	byTenant map[string]*watchedTenant
}

type watchedTenant struct {
	watchers map[string]time.Time // until when, by Firestore's time
	readAt   time.Time            // by this machine's monotonic clock; zero: never read
}

// note remembers the watchers of a tenant whose document was read at now, Firestore's time. It keeps those that it
// knows from signals, because a signal can be newer than the read.
func (w *watchedTenants) note(tenantName string, watchers map[string]time.Time, now time.Time) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.get(tenantName)
	t.readAt = time.Now()
	for process, until := range watchers {
		t.watchers[process] = until
	}
	return t.at(now)
}

// get returns the entry of a tenant. The caller holds the lock.
func (w *watchedTenants) get(tenantName string) *watchedTenant {
	t := w.byTenant[tenantName]
	if t == nil {
		if w.byTenant == nil || len(w.byTenant) >= maxWatchedTenants {
			w.byTenant = map[string]*watchedTenant{}
		}
		t = &watchedTenant{watchers: map[string]time.Time{}}
		w.byTenant[tenantName] = t
	}
	return t
}

// at returns the processes that watch at a time of Firestore, and forgets the others.
func (t *watchedTenant) at(now time.Time) []string {
	var processes []string
	for process, until := range t.watchers {
		if until.After(now) {
			processes = append(processes, process)
		} else {
			delete(t.watchers, process)
		}
	}
	return processes
}

// cached returns the known watchers, if they were read, and not longer ago than maxAge.
func (w *watchedTenants) cached(tenantName string, now time.Time, maxAge time.Duration) (processes []string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.byTenant[tenantName]
	if t == nil || t.readAt.IsZero() || time.Since(t.readAt) > maxAge {
		return nil, false
	}
	return t.at(now), true
}

// NoteWatch remembers the watcher that a signal of the kind KindWatch names.
func (s *Store) NoteWatch(sig signal.Signal) {
	s.watchedTenants.mu.Lock()
	defer s.watchedTenants.mu.Unlock()
	s.watchedTenants.get(sig.Tenant).watchers[sig.From] = sig.At.Add(TenantWatch)
}

// tenantWatchers returns the processes that watch the tenant of a changed execution. If they cannot be read, the change
// is written without them: a watcher loses one change, and the execution nothing.
func (s *Store) tenantWatchers(ctx context.Context, d *decision) []string {
	maxAge := tenantWatchersMaxAge
	if d.before.Lease != nil && s.inboxes.has(fleet.ProcessOf(d.before.Lease.Session)) {
		maxAge = execution.MaxQueueTimeout // longer than any attempt
	}
	return s.watchersOf(ctx, d.before.Tenant, d.At, maxAge)
}

// watchersOf returns the processes that watch a tenant at a time of Firestore, as they were at most maxAge ago. Nobody
// if they cannot be read.
func (s *Store) watchersOf(ctx context.Context, tenantName string, at time.Time, maxAge time.Duration) []string {
	if known, ok := s.watchedTenants.cached(tenantName, at, maxAge); ok {
		return known
	}
	var t tenant.Tenant
	now, err := read(withoutTransaction(ctx), s.tenantDoc(tenantName), &t)
	if err != nil && !isNotFound(err) {
		return nil
	}
	return s.watchedTenants.note(tenantName, t.Watchers, now)
}

// WatchTenant makes a process a watcher of all changes of the tenant's executions for TenantWatch. It tells the
// processes that run executions of the tenant; a process that creates or claims one reads the tenant's document anyway.
func (s *Store) WatchTenant(ctx context.Context, tenantName, process string) error {
	doc := s.tenantDoc(tenantName)
	var t tenant.Tenant
	now, err := read(withoutTransaction(ctx), doc, &t)
	if err != nil && !isNotFound(err) {
		return err
	}
	watchers := map[string]any{process: now.Add(TenantWatch)}
	paths := []firestore.FieldPath{{"partition"}, {"watchers", process}}
	for other, until := range t.Watchers {
		if other != process && until.Before(now) {
			watchers[other] = firestore.Delete
			paths = append(paths, firestore.FieldPath{"watchers", other})
		}
	}
	_, err = doc.Set(ctx, map[string]any{"partition": fleet.Partition(tenantName), "watchers": watchers}, firestore.Merge(paths...))
	if err != nil {
		return translateCommitError(err)
	}
	s.NoteWatch(signal.Signal{Tenant: tenantName, From: process, At: now}) // this process may have read the tenant just before
	return s.TellWatch(ctx, tenantName, process)
}

// TellWatch tells the processes that run executions of the tenant that a process watches its changes.
func (s *Store) TellWatch(ctx context.Context, tenantName, process string) error {
	q := s.collection(tenantName, executions).Where("status", "==", execution.Running).Select("lease.session").Limit(maxToldExecutions)
	running, err := list[execution.Execution](ctx, q)
	if err != nil {
		return err
	}
	told := map[string]bool{}
	var signals []signal.Signal
	for _, e := range running {
		if e.Lease == nil {
			continue
		}
		if to := fleet.ProcessOf(e.Lease.Session); !told[to] && len(told) < maxToldProcesses {
			told[to] = true
			signals = append(signals, signal.Signal{To: to, From: process, Kind: signal.KindWatch, Tenant: tenantName})
		}
	}
	return s.SendSignals(ctx, signals...)
}
