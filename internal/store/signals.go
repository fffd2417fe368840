package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

// outbox has the signals about a change. They are written in the commit of the change, and those to this process are
// delivered after it. So a process that watches an execution misses no change, and nobody else costs anything.
type outbox struct {
	local  localSignals
	remote []signal.Signal
}

func (s *Store) newOutbox(signals []signal.Signal) outbox {
	local, remote := s.inboxes.split(signals)
	return outbox{local: local, remote: remote}
}

// addTo adds the signals to a commit.
func (o outbox) addTo(s *Store, batch *commit) {
	for _, sig := range o.remote {
		batch.Set(s.signalDoc(&sig), &sig)
	}
}

// addToTransaction adds the signals to a transaction.
func (o outbox) addToTransaction(s *Store, tx *firestore.Transaction) error {
	for _, sig := range o.remote {
		if err := tx.Set(s.signalDoc(&sig), &sig); err != nil {
			return err
		}
	}
	return nil
}

// addSignals adds to a decision the signals about it.
func (s *Store) addSignals(ctx context.Context, d *decision) {
	before, after := &d.before, &d.Execution
	var signals []signal.Signal
	if before.Status != after.Status || before.Attempt != after.Attempt {
		watchers := s.tenantWatchers(ctx, d)
		watchers = append(watchers, after.Watchers.Changes...)
		if after.Status.Terminal() {
			watchers = append(watchers, after.Watchers.Ends...)
			if before.Lease != nil {
				watchers = append(watchers, before.Lease.Dispatcher)
			}
		}
		signals = changeSignals(watchers, after, d.Notify)
	}
	if after.CancelRequested && after.Status == execution.Running && !after.Due.Equal(*before.Due) { // now, or once more
		signals = append(signals, signal.Signal{
			To: fleet.ProcessOf(before.Lease.Session), Kind: signal.KindCancel, Tenant: after.Tenant, Change: newSignalChange(after, nil),
		})
	}
	d.outbox = s.newOutbox(signals)
}

// reportRefusedClaim tells the dispatcher of a notification what it would not learn otherwise: that the execution had
// already ended, when no lease named the dispatcher; that it runs by another notification; or that it waits for its
// agent's budget of the next day. If the signal is lost, the dispatcher reads the execution after a while.
func (s *Store) reportRefusedClaim(ctx context.Context, claim execution.Claimed, e *execution.Execution, refusal error) {
	switch {
	case errors.Is(refusal, execution.ErrTerminal), errors.Is(refusal, execution.ErrAgentBudgetUsedUp):
	case errors.Is(refusal, execution.ErrLeased) && e.Lease != nil && e.Lease.Dispatcher != claim.Dispatcher:
	default:
		return
	}
	_ = s.SendSignals(ctx, changeSignals([]string{claim.Dispatcher}, e, nil)...) // see above
}

// commitChange writes a change of an execution together with the signals about it, on the condition that the execution
// has not changed since it was read.
func (s *Store) commitChange(ctx context.Context, ref execution.Ref, updates []firestore.Update, d *decision) error {
	batch := s.newCommit().Update(s.executionDoc(ref), updates, firestore.LastUpdateTime(d.version))
	d.outbox.addTo(s, batch)
	_, err := batch.Commit(ctx)
	if err == nil {
		d.outbox.local.deliver()
	}
	return err
}

// createdOutbox returns the signals about a new execution, to the processes that watch its tenant. The caller has read
// the tenant's document.
func (s *Store) createdOutbox(e *execution.Execution) outbox {
	watchers, _ := s.watchedTenants.cached(e.Tenant, e.CreatedAt, tenantWatchersMaxAge)
	signals := changeSignals(watchers, e, nil)
	if e.Holder != "" && e.Ready {
		signals = append(signals, signal.Signal{To: e.Holder, Kind: signal.KindTurn, Tenant: e.Tenant, Change: newSignalChange(e, nil)})
	}
	return s.newOutbox(signals)
}

// signalCreated adds the signals about a new execution to the transaction that creates it. After that the caller calls
// deliverCreated for the signals to this process.
func (s *Store) signalCreated(tx *firestore.Transaction, e *execution.Execution) error {
	return s.createdOutbox(e).addToTransaction(s, tx)
}

func (s *Store) deliverCreated(e *execution.Execution) { s.createdOutbox(e).local.deliver() }

// createExecution stores a new execution, whose name was made for it, with the signals about it.
func (s *Store) createExecution(ctx context.Context, e *execution.Execution) error {
	out := s.createdOutbox(e)
	batch := s.newCommit().Create(s.executionDoc(e.Ref()), e)
	out.addTo(s, batch)
	if _, err := batch.Commit(ctx); err != nil && status.Code(err) != codes.AlreadyExists { // see create
		return translateCommitError(err)
	}
	out.local.deliver()
	return nil
}

// changeSignals returns one signal about a change for each process.
func changeSignals(watchers []string, e *execution.Execution, notify []execution.Runnable) []signal.Signal {
	slices.Sort(watchers)
	var signals []signal.Signal
	for _, process := range slices.Compact(watchers) {
		if process != "" {
			signals = append(signals, signal.Signal{
				To: process, Kind: signal.KindChange, Tenant: e.Tenant, Change: newSignalChange(e, notify),
			})
		}
	}
	return signals
}

// budgetSignals returns a signal about a soft limit for each process that watches the tenant.
func (s *Store) budgetSignals(ctx context.Context, w *usage.Warning, now time.Time) (signals []signal.Signal) {
	if w.Level != usage.Soft {
		return nil
	}
	for _, process := range s.watchersOf(ctx, w.Tenant, now, tenantWatchersMaxAge) {
		signals = append(signals, signal.Signal{To: process, Kind: signal.KindBudget, Tenant: w.Tenant, Budget: &signal.Budget{
			AgentID: w.AgentID, Day: w.Day, LimitUSD: w.LimitUSD, SoftLimit: w.SoftLimit, SpentUSD: w.SpentUSD,
		}})
	}
	return signals
}

func newSignalChange(e *execution.Execution, notify []execution.Runnable) *signal.Change {
	c := &signal.Change{
		ExecutionID: e.ID, Kind: e.Kind, Status: e.Status, Lane: e.Lane, Attempt: e.Attempt,
		AgentID: e.AgentID, BatchID: e.BatchID, ConversationID: e.ConversationID, CostUSD: e.Usage.CostUSD,
	}
	if e.Failure != nil {
		c.Code = e.Failure.Code
	}
	for _, next := range notify {
		if next.ID != e.ID {
			c.NextTurn = next.ID
		}
	}
	return c
}
