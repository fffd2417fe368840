// Package usagewriter writes what the executions of a process have used, in bundles, and warns tenants whose daily
// budget comes to its end.
//
// In: the bundles that the store has collected while executions ended. Out: the usage of the tenants, and warnings.
// Each process that ends executions has one Writer. It writes and reads nothing while no execution ends.
package usagewriter

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/supervise"
)

const (
	// MinInterval is the time between two bundles of a process.
	MinInterval = 10 * time.Second
	// finalTimeout bounds the last bundles of a process that stops. What it cannot write is recovered when its session
	// has expired.
	finalTimeout = 5 * time.Second
	// fleetMaxAge is how old the size of the fleet may be.
	fleetMaxAge = 10 * time.Minute
	// callTimeout bounds one call of the store.
	callTimeout = 10 * time.Second
)

// Interval returns the time between two bundles of a process in a fleet of n processes. In a large fleet a part of a
// day of a tenant, to which n/usage.Parts processes write, still gets at most about one write a second.
func Interval(n int) time.Duration {
	return max(MinInterval, time.Duration(n)*time.Second/usage.Parts)
}

// Store has the bundles of the process. FlushUsage may be called again after an error; UsageBundleFull receives when a
// bundle is to be written before its time. CreateBudgetWarning reports whether the warning is new.
type Store interface {
	FlushUsage(ctx context.Context) (spent []usage.Spending, complete bool, err error)
	UsageBundleFull() <-chan struct{}
	SpentToday(ctx context.Context, tenant string) (usage.Spent, error)
	Tenant(ctx context.Context, name string) (store.Tenant, error)
	CreateBudgetWarning(ctx context.Context, w usage.Warning, now time.Time) (created bool, err error)
}

// Fleet says how large the fleet is. An answer may be maxAge old, so most need no read.
type Fleet interface {
	Fleet(ctx context.Context, maxAge time.Duration) (fleet.Fleet, error)
}

// Config has the parts and settings of a Writer.
type Config struct {
	Store Store
	Fleet Fleet // nil: few processes
	// Defaults has the daily budget and the soft limit of tenants for which the operator has set none.
	Defaults tenant.Limits
	Log      *zap.Logger
}

// Writer writes bundles of usage; Run starts it.
type Writer struct {
	config Config
	// pending are the tenants whose budgets are to be checked, with the agents that have spent.
	pending  map[string]usage.Spending
	interval time.Duration
}

// Start runs a Writer until stop is called, which writes what is left. It must be called after the last event was
// applied.
func Start(ctx context.Context, c Config) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		New(c).Run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// New returns a Writer.
func New(c Config) *Writer {
	return &Writer{config: c, pending: map[string]usage.Spending{}, interval: MinInterval}
}

// Run writes bundles until ctx ends, and then what is left.
func (w *Writer) Run(ctx context.Context) {
	_ = supervise.Run(ctx, w.config.Log, "write usage", w.flushPeriodically) // always nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalTimeout)
	defer cancel()
	supervise.RunUntilSuccess(ctx, w.config.Log, "write the last usage", func(ctx context.Context) error {
		complete, err := w.flush(ctx)
		if err == nil && !complete {
			err = errIncomplete
		}
		return err
	})
}

func (w *Writer) flushPeriodically(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(w.interval):
		case <-w.config.Store.UsageBundleFull():
		}
		if _, err := w.flush(ctx); err != nil {
			return err
		}
	}
}

// adjustInterval follows the size of the fleet. If it cannot be read, the interval stays.
func (w *Writer) adjustInterval(ctx context.Context) {
	if w.config.Fleet == nil {
		return
	}
	if f, err := w.config.Fleet.Fleet(ctx, fleetMaxAge); err == nil {
		w.interval = Interval(f.Executors + f.APIs)
	}
}

func (w *Writer) flush(ctx context.Context) (complete bool, err error) {
	flushCtx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	spent, complete, err := w.config.Store.FlushUsage(flushCtx)
	if len(spent) > 0 {
		w.adjustInterval(flushCtx)
	}
	for _, s := range spent {
		if s.NanoUSD == 0 {
			continue
		}
		if before, ok := w.pending[s.Tenant]; ok && before.Day == s.Day {
			for agentID, budget := range before.Agents {
				if _, ok := s.Agents[agentID]; !ok {
					s.Agents[agentID] = budget
				}
			}
		}
		w.pending[s.Tenant] = s
	}
	if err != nil {
		return false, err
	}
	return complete, w.checkBudgets(ctx)
}
