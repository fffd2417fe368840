package store

import (
	"context"
	"errors"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/telemetry/trace"
)

// RunRequest asks for one run of an agent.
type RunRequest struct {
	Tenant  string
	AgentID string
	// AgentVersion is the version to run; 0: the newest.
	AgentVersion int
	// EnvironmentID is the environment, in its newest version; empty: the agent's.
	EnvironmentID string
	Input         string
	Labels        []execution.Label
	InputFiles    []execution.InputFile
	// WorkspaceFrom is the execution with whose files the run begins; empty: none.
	WorkspaceFrom string
	Webhook       string // URL to notify of the end; empty: none

	Timeout      time.Duration // 0: the agent's
	QueueTimeout time.Duration // 0: the default

	IdempotencyKey *IdempotencyKey // nil: none
	Place          Placer          // nil: the caller publishes it
}

// ErrNoWorkspace means that an execution has left no workspace.
var ErrNoWorkspace = errors.New("the execution has no workspace")

// SubmitRun stores a run as a queued execution. Once it returns nil, the execution is durable. The error is a
// NotFoundError if the tenant does not have the agent or its version, or the execution whose workspace the run begins
// with; else ErrNoWorkspace, a MissingFilesError or a MissingEnvironmentError.
func (s *Store) SubmitRun(ctx context.Context, r RunRequest) (ch execution.Change, err error) {
	if r.IdempotencyKey == nil && len(r.InputFiles) == 0 {
		return s.submitRunWithoutTransaction(ctx, r)
	}
	ref := execution.Ref{Tenant: r.Tenant, ID: id.New(id.Execution)}
	err = s.createOnce(ctx, s.executionDoc(ref), r.IdempotencyKey, func(tx *firestore.Transaction) (Created, time.Time, error) {
		e, err := s.newRun(ctx, tx.GetAll, r)
		if err != nil {
			return Created{}, time.Time{}, err
		}
		e.ID = ref.ID
		ch = execution.Change{Execution: e, Notify: notificationOf(&e)}
		return createdExecution(&e), e.CreatedAt, errors.Join(
			tx.Create(s.executionDoc(e.Ref()), &e),
			s.storeInputFiles(tx, e.Ref(), r.InputFiles),
			s.signalCreated(tx, &e),
		)
	})
	if err == nil {
		s.deliverCreated(&ch.Execution)
	}
	return ch, err
}

// submitRunWithoutTransaction stores a run that is one document. A change of the agent between the read and the write
// does no harm: the run has the agent as it was read.
func (s *Store) submitRunWithoutTransaction(ctx context.Context, r RunRequest) (execution.Change, error) {
	e, err := s.newRun(ctx, s.getAll(ctx), r)
	if err != nil {
		return execution.Change{}, err
	}
	return execution.Change{Execution: e, Notify: notificationOf(&e)}, s.createExecution(ctx, &e)
}

func (s *Store) newRun(ctx context.Context, get documentsGetter, r RunRequest) (execution.Execution, error) {
	var a agent.Agent
	t, err := s.readWithTenant(get, r.Tenant, s.agentDoc(r.Tenant, r.AgentID), &a)
	if err != nil {
		return execution.Execution{}, err
	}
	if a, err = s.pinAgent(get, a, r.AgentVersion); err != nil {
		return execution.Execution{}, err
	}
	e := execution.New(execution.Spec{
		Tenant: r.Tenant, Kind: execution.KindRun, Task: task(a, r.Input), Limits: limits(a, r.QueueTimeout),
	}, t.Now)
	e.AgentID, e.AgentVersion, e.Labels, e.Webhook, e.Traceparent = a.ID, a.Version, r.Labels, r.Webhook, trace.Traceparent(ctx)
	if e.Task.Environment, err = s.pinEnvironment(get, a, environment.VersionRef{ID: r.EnvironmentID}); err != nil {
		return execution.Execution{}, err
	}
	described, err := s.describeInputFiles(get, r.Tenant, r.InputFiles)
	if err != nil {
		return execution.Execution{}, err
	}
	e.Task.SetInputFiles(described)
	if r.Timeout != 0 {
		e.Timeout = r.Timeout
	}
	if e.Task.Workspace, err = s.workspaceOf(get, execution.Ref{Tenant: r.Tenant, ID: r.WorkspaceFrom}); err != nil {
		return execution.Execution{}, err
	}
	return e, r.Place.place(&t.Tenant, &e)
}

// workspaceOf returns the workspace that an execution has left; nil if the reference names none.
func (s *Store) workspaceOf(get documentsGetter, ref execution.Ref) (*execution.Workspace, error) {
	if ref.ID == "" {
		return nil, nil
	}
	snaps, err := get([]*firestore.DocumentRef{s.executionDoc(ref)})
	if err != nil {
		return nil, translateError(err)
	}
	var e execution.Execution
	if _, _, err := decode(snaps[0], &e); err != nil {
		return nil, err
	}
	if e.Workspace == nil {
		return nil, ErrNoWorkspace
	}
	return e.Workspace, nil
}

func task(a agent.Agent, input string) execution.Task {
	return execution.Task{
		Runtime: a.Runtime, Model: a.Model, Instructions: a.Instructions, Input: input, Budget: a.Budget, DailyBudget: a.DailyBudget,
		HasSettings: a.HasSettings,
	}
}

func limits(a agent.Agent, queueTimeout time.Duration) execution.Limits {
	return execution.Limits{
		Timeout: a.Timeout, QueueTimeout: queueTimeout, RetryPolicy: a.RetryPolicy, TranscriptRetention: a.TranscriptRetention,
	}
}
