// Package watch is the one registry of what a process wants to know of others.
//
// In: the signals in the inbox of the process, and registrations by long polls, event streams and workers. Out: wakes
// of those whose signal has arrived, and the changes of a tenant in their order. A signal only wakes somebody who waits
// for an execution and then reads it again, and who does so also without a signal after a while.
package watch

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/broadcast"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// Store registers watchers and receives signals. AddWatcher fails with store.ErrChanged if the execution has changed
// since it was read. Its methods may be called concurrently, and again after an error.
type Store interface {
	OpenInbox(process string, onSignal func(signal.Signal)) *store.Inbox
	AddWatcher(ctx context.Context, e *execution.Execution, version time.Time, kind store.WatchKind, process string) error
	WatchTenant(ctx context.Context, tenant, process string) error
	TellWatch(ctx context.Context, tenant, process string) error
	NoteWatch(sig signal.Signal)
}

// Registry is safe for concurrent use.
type Registry struct {
	store   Store
	process string
	inbox   *store.Inbox
	log     *zap.Logger

	executions broadcast.Broadcaster // those who wait for a change of an execution

	mu          sync.Mutex
	handlers    map[signal.Kind][]func(signal.Signal)
	registering map[registration]bool // calls of Register under way
	tenants     map[string]*tenantFeed
}

type registration struct {
	ref  execution.Ref
	kind store.WatchKind
}

// New returns the registry of a process and opens its inbox: what this process changes from now on, it learns of in
// memory. Run receives what other processes send.
func New(s Store, process string, log *zap.Logger) *Registry {
	r := &Registry{
		store: s, process: process, log: log,
		handlers: map[signal.Kind][]func(signal.Signal){}, registering: map[registration]bool{}, tenants: map[string]*tenantFeed{},
	}
	r.inbox = s.OpenInbox(process, r.dispatch)
	return r
}

// Process returns the ID of the process.
func (r *Registry) Process() string { return r.process }

// Run receives the inbox until ctx ends. Then it stops watching tenants.
func (r *Registry) Run(ctx context.Context) error {
	var renewals sync.WaitGroup
	defer renewals.Wait()
	renewals.Go(func() {
		_ = supervise.Run(ctx, r.log, "renew watched tenants", supervise.Every(renewCheckInterval, r.renewTenants)) // always nil
	})
	return supervise.Run(ctx, r.log, "receive signals", r.inbox.Receive)
}

// On calls f with each signal of a kind from now on, concurrently. f must not block.
func (r *Registry) On(kind signal.Kind, f func(signal.Signal)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers[kind] = append(r.handlers[kind], f)
}

func (r *Registry) dispatch(sig signal.Signal) {
	metrics.Signals.WithLabelValues(string(sig.Kind)).Inc()
	switch sig.Kind { //nolint:exhaustive // the others are for other parts of the process
	case signal.KindChange:
		if sig.Change != nil {
			r.addToFeed(sig)
			r.executions.Notify(execution.Ref{Tenant: sig.Tenant, ID: sig.Change.ExecutionID})
		}
	case signal.KindBudget:
		if sig.Budget != nil {
			r.addToFeed(sig)
		}
	case signal.KindWatch:
		r.store.NoteWatch(sig)
	}
	r.mu.Lock()
	handlers := r.handlers[sig.Kind]
	r.mu.Unlock()
	for _, f := range handlers {
		f(sig)
	}
}

// Len returns how many wait for a change of an execution.
func (r *Registry) Len() int { return r.executions.Len() }

// Subscribe returns a channel that receives after each signal about the execution, where several may become one. The
// caller subscribes before it reads the execution, and must call unsubscribe when it needs no more signals. Other
// processes send signals only after Register.
func (r *Registry) Subscribe(ref execution.Ref) (notified <-chan struct{}, unsubscribe func()) {
	return r.executions.Subscribe(ref)
}

// Register makes the process a watcher of an execution, as it was read with its version. The error is store.ErrChanged
// if it has changed since: the caller must read it again before it waits. After any other error the caller waits as
// usual, because it reads again after a while.
//
// One registration serves all clients of the process. A call during another one for the same execution returns at
// once: whatever happens after the other has read the execution is signalled.
func (r *Registry) Register(ctx context.Context, e *execution.Execution, version time.Time, kind store.WatchKind) error {
	key := registration{ref: e.Ref(), kind: kind}
	r.mu.Lock()
	busy := r.registering[key]
	r.registering[key] = true
	r.mu.Unlock()
	if busy {
		return nil
	}
	defer func() {
		r.mu.Lock()
		delete(r.registering, key)
		r.mu.Unlock()
	}()
	return r.store.AddWatcher(ctx, e, version, kind, r.process)
}
