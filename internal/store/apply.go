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
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// Apply is the only way to change a stored execution. It reads the execution, applies the event, and writes the change
// together with its effects on the conversation and the webhook. No other change happens in between.
//
// An event that does not apply changes nothing. The error is then the domain's (execution.ErrTerminal, ErrLeased,
// ErrLeaseLost, ErrStartDeadlineExceeded, ErrRuntimeUnavailable, ErrTenantPaused, ErrNotDue) or ErrEarlierTurnPending.
// With ErrTerminal, the change has the finished execution and its notifications, so a caller that lost the response can
// still publish them.
func (s *Store) Apply(ctx context.Context, ref execution.Ref, ev execution.Event) (execution.Change, error) {
	var d decision
	err := ErrOutcomeUnknown // after a panic
	s.usage.beginApply(ref)
	defer func() { s.usage.endApply(ref, &d, err) }()
	d, err = s.applyToDocument(ctx, ref, ev)
	if err == nil && len(d.otherWrites) > 0 {
		d, err = s.applyInTransaction(ctx, ref, ev)
	}
	if err == nil && d.Execution.Status.Terminal() {
		countFinished(&d.Execution)
	}
	if claim, ok := ev.(execution.Claimed); ok && err != nil {
		s.reportRefusedClaim(ctx, claim, &d.Execution, err)
	}
	return d.Change, err
}

// decision is the effect of an event: on its execution, and on other documents, which are written in the same
// transaction.
type decision struct {
	execution.Change
	before      execution.Execution // as it is stored
	version     time.Time           // Firestore's update time of before
	otherWrites []write
	outbox      outbox // of the signals about the change
}

type write func(*firestore.Transaction) error

// applyToDocument applies an event that changes no other document, which nearly all events do. It writes on the
// condition that the execution has not changed since the read. For one document that is as safe as a transaction, and
// needs two calls instead of three. After a concurrent change it decides again. It writes nothing if the decision has
// otherWrites.
func (s *Store) applyToDocument(ctx context.Context, ref execution.Ref, ev execution.Event) (decision, error) {
	var previous *decision
	for {
		d, err := s.decide(withoutTransaction(ctx), s.getAll(ctx), ref, ev)
		if previous != nil && !d.version.IsZero() && len(diffExecution(&d.before, &previous.Execution)) == 0 {
			previous.outbox.local.deliver()
			return *previous, nil // the previous write took effect, and only its response was lost
		}
		if err != nil || len(d.otherWrites) > 0 {
			return d, err
		}
		if _, ok := ev.(execution.Claimed); ok {
			if until, err := s.agentBudgetUsedUp(ctx, &d.before); err != nil || !until.IsZero() {
				return s.deferExecution(ctx, ref, until, err)
			}
		}
		updates := diffExecution(&d.before, &d.Execution)
		if len(updates) == 0 {
			return d, nil
		}
		s.addSignals(ctx, &d)
		err = s.commitChange(ctx, ref, updates, &d)
		if code := status.Code(err); code != codes.FailedPrecondition && code != codes.NotFound {
			return d, translateCommitError(err)
		}
		previous = &d
	}
}

// applyInTransaction applies an event that changes other documents as well.
func (s *Store) applyInTransaction(ctx context.Context, ref execution.Ref, ev execution.Event) (d decision, err error) {
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		if d, err = s.decide(tx.Get, tx.GetAll, ref, ev); err != nil {
			return err
		}
		for _, w := range d.otherWrites {
			if err := w(tx); err != nil {
				return err
			}
		}
		updates := diffExecution(&d.before, &d.Execution)
		if len(updates) == 0 {
			return nil // another process has made the same change since applyToDocument decided
		}
		s.addSignals(ctx, &d)
		return errors.Join(tx.Update(s.executionDoc(ref), updates), d.outbox.addToTransaction(s, tx))
	})
	if err == nil {
		d.outbox.local.deliver()
	}
	return d, err
}

// decide reads the execution and applies the event, but writes nothing. For a claim it reads the tenant in the same
// call.
func (s *Store) decide(get documentGetter, getAll documentsGetter, ref execution.Ref, ev execution.Event) (d decision, err error) {
	e := &d.Execution
	var now time.Time
	if claim, ok := ev.(execution.Claimed); ok {
		now, ev, err = s.readForClaim(getAll, ref, claim, &d)
	} else {
		now, d.version, err = readVersion(get, s.executionDoc(ref), e)
	}
	if err != nil {
		return d, err
	}
	d.before, d.At = *e, now
	if err := e.Apply(ev, now); err != nil {
		if errors.Is(err, execution.ErrTerminal) {
			var readErr error
			if d.Notify, readErr = s.nextTurnAfter(get, e); readErr != nil {
				return d, readErr
			}
		}
		return d, err
	}
	if e.Status.Terminal() {
		e.UsageBundle = s.usage.bundleFor(ref)
	}
	if d.before.Lease != nil {
		d.Dispatcher = d.before.Lease.Dispatcher // it knows the execution, and that of the next turn takes its place
	}
	if e.Ready {
		d.Notify = append(d.Notify, e.Runnable())
	}
	if e.ConversationID != "" && e.Status != d.before.Status {
		if err := s.decideTurn(get, &d, now); err != nil {
			return d, err
		}
	}
	if delivery := webhook.NewExecutionDelivery(e, now); delivery != nil {
		d.otherWrites = append(d.otherWrites, func(tx *firestore.Transaction) error { return s.createDelivery(tx, delivery) })
	}
	return d, nil
}

// readForClaim reads the execution and its tenant into a decision, and returns the claim with what it must know of the
// tenant. A tenant without a document has the defaults.
func (s *Store) readForClaim(
	getAll documentsGetter, ref execution.Ref, claim execution.Claimed, d *decision,
) (now time.Time, ev execution.Event, err error) {
	snaps, err := getAll([]*firestore.DocumentRef{s.executionDoc(ref), s.tenantDoc(ref.Tenant)})
	if err != nil {
		return now, claim, translateError(err)
	}
	if now, d.version, err = decode(snaps[0], &d.Execution); err != nil {
		return now, claim, err
	}
	var t tenant.Tenant
	if _, _, err = decode(snaps[1], &t); err != nil && !isNotFound(err) {
		return now, claim, err
	}
	claim.TenantPaused = t.Paused
	claim.TranscriptBound = t.Limits(tenant.Limits{TranscriptRetention: claim.TranscriptBound}).TranscriptRetention
	s.watchedTenants.note(ref.Tenant, t.Watchers, now) // for the signals about this attempt
	return now, claim, nil
}

var rejections = []error{
	execution.ErrTerminal, execution.ErrLeased, execution.ErrLeaseLost, execution.ErrNotDue,
	execution.ErrStartDeadlineExceeded, execution.ErrRuntimeUnavailable, execution.ErrTenantPaused, execution.ErrAgentBudgetUsedUp,
	ErrEarlierTurnPending,
}

// IsRejection reports whether an error of Apply means that the execution does not exist, or that the event does not
// apply to its state. Such an error is an answer, not a fault: there is no reason to apply the event again.
func IsRejection(err error) bool {
	return isNotFound(err) || slices.ContainsFunc(rejections, func(target error) bool { return errors.Is(err, target) })
}

// countFinished counts an end at most once. It does not count an end whose commit got no response.
func countFinished(e *execution.Execution) {
	code := ""
	if e.Failure != nil {
		code = string(e.Failure.Code)
	}
	metrics.ExecutionsFinished.WithLabelValues(string(e.Status), code, e.Task.Runtime, string(e.Lane)).Inc()
}
