package executor

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
)

// performance is one attempt at a job, as far as it came.
type jobRun struct {
	startedAt  time.Time
	run        *agentruntime.Run // nil: there was nothing to run
	preparedAt time.Time         // when the sandbox was asked to run it
	outcome    sandbox.Outcome
	ending     execution.Ending  // what the job did; beside an error only its Usage counts
	fullResult *execution.Result // all of the ending's, which keeps a beginning of a large one
}

// perform runs the job. What the job did is the ending; an error is that
// Airlock could not do its part, or the cause for which ctx ended. A panic over
// what the job has given or left is the former.
func (x *Executor) runJob(ctx context.Context, e *execution.Execution, steps *stepBuffer) (p jobRun, err error) {
	defer supervise.RecoverTo(&err)
	p.startedAt = time.Now()
	if err := x.loadTask(ctx, e); err != nil {
		if ctx.Err() != nil {
			return p, context.Cause(ctx)
		}
		return p, fmt.Errorf("read the task: %w", err)
	}
	run, failure := x.runtimes.Prepare(ctx, e)
	if failure != nil {
		p.ending = failure.Ending(execution.Usage{})
		return p, nil
	}
	p.run, p.preparedAt = run, time.Now()
	run.OnStep(steps.add)
	p.outcome, err = x.sandbox.Run(ctx, run.Job)
	p.ending.Usage = run.Usage()
	if err != nil {
		return p, err
	}
	defer p.outcome.Close() // what stays open costs a descriptor, not the result
	p.ending = buildEnding(e, run, p.outcome)
	p.fullResult = p.ending.Result
	if err := x.storeArtifacts(ctx, e, &p.ending, p.outcome); err != nil {
		if ctx.Err() != nil {
			return p, context.Cause(ctx)
		}
		return p, fmt.Errorf("keep what the job left: %w", err)
	}
	return p, nil
}

// complete reads what of the task is not in the execution's document: the files
// that it is given, and what was said in the conversation before.
func (x *Executor) loadTask(ctx context.Context, e *execution.Execution) (err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if len(e.Task.InputFileList) > 0 {
		if e.Task.InputFiles, err = x.store.InputFiles(ctx, e.Ref()); err != nil {
			return err
		}
	}
	if e.ConversationID == "" {
		return nil
	}
	messages, err := x.store.Messages(ctx, e.Tenant, e.ConversationID, e.Turn, conversation.MaxHistory)
	if err != nil {
		return err
	}
	e.Task.History = conversation.History(messages)
	e.Task.Session, err = x.store.Session(ctx, e.Tenant, e.ConversationID)
	return err
}

// conclude makes of what the job did what the execution ends with.
func buildEnding(e *execution.Execution, run *agentruntime.Run, o sandbox.Outcome) execution.Ending {
	result, failure := run.ParseOutcome(o)
	if failure != nil {
		return failure.Ending(run.Usage())
	}
	if e.Task.Schema == conversation.BuilderSchema {
		*result = conversation.ParseBuilderAnswer(*result)
	}
	ending := execution.Ending{Status: execution.Succeeded, Result: result, Usage: run.Usage()}
	if e.ConversationID != "" {
		ending.NewSession = run.ExtractSession(o)
	}
	return ending
}

// receipt writes down how the job was kept apart. An execution does not fail for
// want of a receipt: the job is done.
func (x *Executor) writeReceipt(e *execution.Execution, ending execution.Ending, p jobRun, log *zap.Logger) string {
	facts := receipt.Facts{Execution: e, Ending: ending, Result: p.fullResult, Executor: x.config.Name, Claimed: p.startedAt, Outcome: p.outcome}
	if p.run != nil {
		facts.Job, facts.Model, facts.Egress = p.run.Job, p.run.Model, p.run.Egress()
	}
	encoded, err := receipt.Marshal(receipt.New(facts), x.config.ReceiptKey)
	if err != nil {
		log.Error("could not write the receipt", zap.Error(err))
	}
	return encoded
}
