package agentruntime

import (
	"strings"

	"github.com/airlock-run/airlock/internal/answerschema"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// useSchema prepares the check of the answer against the schema of the agent. A task with a schema of its own accepts
// an answer without it, and is not checked.
func (r *Run) useSchema(t execution.Task) *execution.Failure {
	if t.Schema != "" || t.Settings.Schema == "" {
		return nil
	}
	schema, err := answerschema.Compile(t.Settings.Schema)
	if err != nil {
		return newFailure(execution.CodeInvalidTask, "the schema of the agent %v", err)
	}
	r.answerSchema = schema
	return nil
}

// checkAnswer returns the failure of a result that does not match the agent's schema. What the agent answered instead
// becomes a part of what it has said.
func (r *Run) checkAnswer(result *execution.Result) *execution.Failure {
	if r.answerSchema == nil {
		return nil
	}
	failure := func(format string, args ...any) *execution.Failure {
		if result.Output != "" && result.Output != result.Text {
			r.said.add(result.Output)
		}
		return newFailure(execution.CodeInvalidResult, format, args...)
	}
	if result.Output == "" {
		return failure("the agent answered without the structured output that its schema demands")
	}
	violations, err := r.answerSchema.Check([]byte(result.Output))
	switch {
	case err != nil:
		return failure("%v", err)
	case len(violations) > 0:
		return failure("the answer does not match the agent's schema: %s", strings.Join(violations, "; "))
	default:
		return nil
	}
}
