package agentruntime

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// streamJSON is the contract of the Claude Code CLI, which the offline agent also implements.
type streamJSON struct{}

// maxSchemaSize bounds the schema, in bytes. It is one argument of the command line, for which Linux allows 128 KiB.
const maxSchemaSize = 96 << 10

// prepareJob puts the schema on the command line, because the CLI accepts it nowhere else. It is one argument and a
// JSON object, so it cannot be read as a flag.
func (streamJSON) prepareJob(r *Run, e *execution.Execution) *execution.Failure {
	t := e.Task
	model := r.Model
	if model == "" {
		model = "none"
	}
	launch, err := newLaunch(r.Job.Argv, r.entry.MaxTurns, t.Settings)
	if err != nil {
		return newFailure(execution.CodeInvalidTask, "the agent's settings cannot be passed to the agent: %v", err)
	}
	argv := slices.Concat(launch.argv, []string{
		"--print", "--output-format", "stream-json", "--verbose", "--include-partial-messages", "--model", model,
	}, launch.args)
	r.maxTurns = launch.maxTurns
	r.Job.Env = append(r.Job.Env, launch.env...)
	r.Job.Files = append(r.Job.Files, launch.files...)

	id := sessionID(e)
	r.sessionID = id
	r.sessionPath = sessionfile.Path(sandbox.HomeDir, id)
	r.Job.Collect = []string{r.sessionPath}
	sessionFile, failure := r.buildSessionFile(t, id)
	if failure != nil {
		return failure
	}
	if sessionFile != nil {
		r.Job.Files = append(r.Job.Files, sandbox.File{Path: r.sessionPath, Mode: 0o600, Data: sessionFile})
		argv = append(argv, "--resume", id.String())
	} else {
		argv = append(argv, "--session-id", id.String())
	}
	if t.Instructions != "" {
		r.Job.Files = append(r.Job.Files, sandbox.File{Path: catalog.DefaultInstructionsPath, Mode: 0o600, Data: []byte(t.Instructions)})
		argv = append(argv, "--append-system-prompt-file", catalog.DefaultInstructionsPath)
	}
	if schema := schemaOf(t); schema != "" {
		if len(schema) > maxSchemaSize || !isObject(schema) {
			return newFailure(execution.CodeInvalidTask, "the schema must be a JSON object of at most %d bytes", maxSchemaSize)
		}
		argv = append(argv, "--json-schema="+schema)
	}
	r.Job.Argv = argv
	r.Job.SettleTime = time.Duration(cmp.Or(r.entry.SettleTime, catalog.Duration(catalog.DefaultSettleTime)))
	r.Job.Keep = newResultKeeper(cmp.Or(r.Job.Limits.Output, sandbox.DefaultLimits.Output))
	r.Job.Stdin = []byte("\n" + t.Input) // the newline keeps the CLI from reading a leading slash as one of its commands
	return nil
}

// parseResult requires all signs of success, because no single one is reliable: exit code 0, a last result without an
// error, and at least one turn. A task with a schema may succeed with text only, because the CLI may do that; the
// caller of the API decides whether the text is enough.
func (streamJSON) parseResult(r *Run, o sandbox.Outcome) (*execution.Result, *execution.Failure) {
	result, err := streamjson.Parse(o.Stdout)
	switch {
	case err != nil && o.Truncated:
		return nil, outputLimitFailure(r.Job)
	case err != nil && exitedWithError(o):
		return nil, exitCodeFailure(o)
	case err != nil:
		return nil, newFailure(execution.CodeInvalidResult, "the agent's result cannot be read: %v", err)
	}
	if failure := r.checkSuccess(result, o); failure != nil {
		return nil, failure
	}
	return &execution.Result{Text: result.Text, Output: string(result.Structured)}, nil
}

func (r *Run) checkSuccess(result streamjson.Result, o sandbox.Outcome) *execution.Failure {
	switch {
	case result.StopReason == "refusal": // the CLI counts it as an error without a status
		return newFailure(execution.CodeModelError, "the model declined to answer")
	case result.IsError && (result.APIErrorStatus != 0 || r.Egress().LastCallFailed()):
		return r.modelFailure(result.APIErrorStatus, result.Text)
	case result.Subtype == "error_max_turns":
		return newFailure(execution.CodeAgentError, "the agent did not finish within its maximum of %d turns", r.maxTurns)
	case result.IsError || strings.HasPrefix(result.Subtype, "error"):
		return newFailure(execution.CodeAgentError, "the agent reported an error: %s", excerpt(errorText(result)))
	case exitedWithError(o):
		return exitCodeFailure(o)
	case result.NumTurns < 1:
		return newFailure(execution.CodeInvalidResult, "the agent reported success without a request to its model")
	case r.hasSchema && len(result.Structured) > 0 && !isObject(string(result.Structured)):
		return newFailure(execution.CodeInvalidResult, "the agent's structured answer is not a JSON object")
	case strings.TrimSpace(result.Text) == "" && len(result.Structured) == 0:
		return emptyResultFailure()
	default:
		return nil
	}
}

// exitedWithError reports whether the agent's exit code says that it failed. That of an agent which was ended after its
// result says nothing.
func exitedWithError(o sandbox.Outcome) bool { return o.EndReason == sandbox.Exited && o.ExitCode != 0 }

func errorText(r streamjson.Result) string {
	if r.Text != "" {
		return r.Text
	}
	return r.Subtype
}

func isObject(text string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}
