package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// SubmitBatch stores a batch whose inputs a BatchInputWriter has stored. Once it returns nil, the batch is durable, and
// the dispatcher finds it; MarkWaiting makes it do so at once. AgentVersion 0 means the newest. Task.Environment is the
// one that the batch names, with version 0 for the newest; zero means the agent's. The error is a NotFoundError if the
// tenant does not have the agent or its version; else a MissingEnvironmentError. The key may be nil.
func (s *Store) SubmitBatch(ctx context.Context, b *batch.Batch, key *IdempotencyKey) error {
	doc, named := s.batchDoc(b.Ref()), b.Task.Environment
	err := s.createOnce(ctx, doc, key, func(tx *firestore.Transaction) (Created, time.Time, error) {
		var a agent.Agent
		now, err := read(tx.Get, s.agentDoc(b.Tenant, b.AgentID), &a)
		if err != nil {
			return Created{}, now, err
		}
		if a, err = s.pinAgent(tx.GetAll, a, b.AgentVersion); err != nil {
			return Created{}, now, err
		}
		b.AgentVersion = a.Version
		b.Task, b.Limits = task(a, ""), limits(a, b.QueueTimeout)
		if b.Task.Environment, err = s.pinEnvironment(tx.GetAll, a, named); err != nil {
			return Created{}, now, err
		}
		b.CreatedAt, b.Traceparent = now, trace.Traceparent(ctx)
		return Created{Batch: b}, now, errors.Join(
			tx.Create(doc, b), tx.Delete(s.uploadDoc(b.Tenant, b.ID), firestore.Exists),
			tx.Set(s.tenantDoc(b.Tenant), waitingFields(b.Tenant, execution.LaneBatch), firestore.MergeAll),
		)
	})
	if status.Code(err) == codes.NotFound {
		return fmt.Errorf("%w: the inputs of batch %s were deleted, because their upload took too long", ErrUnavailable, b.ID)
	}
	return err
}

// Batch returns the tenant's batch, or a NotFoundError, and Firestore's time.
func (s *Store) Batch(ctx context.Context, ref batch.Ref) (batch.Batch, time.Time, error) {
	var b batch.Batch
	now, err := read(withoutTransaction(ctx), s.batchDoc(ref), &b)
	return b, now, err
}

// Batches returns a page of the tenant's batches, the newest first.
func (s *Store) Batches(ctx context.Context, tenant string, p Page) ([]batch.Batch, error) {
	return list[batch.Batch](ctx, p.apply(s.collection(tenant, batches).Query, "createdAt"))
}

// CancelBatch stops a batch from creating further executions. The batch dispatcher cancels those in flight. The error
// is execution.ErrTerminal if the batch has finished.
func (s *Store) CancelBatch(ctx context.Context, ref batch.Ref) (b batch.Batch, err error) {
	err = s.runTransaction(ctx, func(tx *firestore.Transaction) error {
		b = batch.Batch{}
		if _, err := read(tx.Get, s.batchDoc(ref), &b); err != nil {
			return err
		}
		if err := b.Cancel(); err != nil {
			return err
		}
		return tx.Update(s.batchDoc(ref), []firestore.Update{{Path: "cancelRequested", Value: true}})
	})
	return b, err
}

// BatchInFlight returns a page of the unfinished executions of a batch whose cancellation has not been requested.
func (s *Store) BatchInFlight(ctx context.Context, ref batch.Ref, scan *Scan, limit int) ([]execution.Ref, error) {
	snaps, err := scan.page(ctx, s.batchExecutions(ref).
		Where("status", "in", []execution.Status{execution.Queued, execution.Running}).
		Where("cancelRequested", "==", false).Select(), limit)
	return refsOf[execution.Ref](snaps), err
}

// BatchCounts counts the executions of a batch by status, and adds up their cost in US dollars.
func (s *Store) BatchCounts(ctx context.Context, ref batch.Ref) (map[execution.Status]int, float64, error) {
	counts := map[execution.Status]int{}
	for _, status := range []execution.Status{
		execution.Queued, execution.Running, execution.Succeeded, execution.Failed, execution.TimedOut, execution.Canceled,
	} {
		n, err := s.countBatchExecutions(ctx, ref, status)
		if err != nil {
			return nil, 0, err
		}
		counts[status] = n
	}
	cost, err := sum(ctx, s.batchExecutions(ref), "usage.costUsd")
	return counts, cost, err
}

func (s *Store) countBatchExecutions(ctx context.Context, ref batch.Ref, statuses ...execution.Status) (int, error) {
	return count(ctx, s.batchExecutions(ref).Where("status", "in", statuses))
}

func (s *Store) batchExecutions(ref batch.Ref) firestore.Query {
	return s.collection(ref.Tenant, executions).Where("batchId", "==", ref.ID)
}

// BatchExecutions returns the executions of the inputs from first on, in the order of the inputs, at most limit. It
// ends at the first input that has had no execution yet. It returns nil for an input whose execution is missing: it
// was deleted, or the input was lost. So each page but the last has limit elements.
func (s *Store) BatchExecutions(ctx context.Context, b *batch.Batch, first, limit int) ([]*execution.Execution, error) {
	var refs []*firestore.DocumentRef
	for i := first; i < b.NextInput && len(refs) < limit; i++ {
		refs = append(refs, s.executionDoc(execution.Ref{Tenant: b.Tenant, ID: b.ExecutionID(i)}))
	}
	if len(refs) == 0 {
		return nil, nil
	}
	snaps, err := s.client.GetAll(ctx, refs)
	if err != nil {
		return nil, translateError(err)
	}
	found := make([]*execution.Execution, len(snaps))
	for i, snap := range snaps {
		if !snap.Exists() {
			continue
		}
		found[i] = new(execution.Execution)
		if err := snap.DataTo(found[i]); err != nil {
			return nil, fmt.Errorf("document %s: %w", snap.Ref.Path, err)
		}
	}
	return found, nil
}
