package runtime

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/runtime/session"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Run is one job of one attempt, from what goes into the sandbox to the reading
// of what comes out.
type Run struct {
	Job sandbox.Job

	structured bool // the task has a schema
	egress     Egress
}

const (
	home             = "/home/agent"
	instructionsFile = home + "/.airlock/instructions.md"

	// maxSchema bounds the one text that has to go on the command line. Linux
	// takes 128 KiB for one argument.
	maxSchema = 96 << 10
)

// prepare puts nothing that a tenant wrote on the command line, except for the
// schema, which has no other way in; it is valid JSON and one argument.
func (r Runtime) prepare(e *execution.Execution) (*Run, *execution.Failure) {
	t := e.Task
	model, failure := r.model(t.Model)
	if failure != nil {
		return nil, failure
	}
	argv := []string{
		r.Program, "--print", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions",
		"--model", model, "--max-turns", strconv.Itoa(r.MaxTurns),
	}
	argv = append(argv, r.Flags...)
	env := slices.Clone(r.Env)
	for _, name := range r.ModelEnv {
		env = append(env, name+"="+model)
	}

	var files []sandbox.File
	id := sessionID(e)
	if hasText(t.History) {
		history, err := session.Encode(id, t.History)
		if err != nil {
			return nil, invalidTask("the history cannot be given to the agent: %v", err)
		}
		files = append(files, sandbox.File{Path: session.Path(home, id), Mode: 0o600, Data: history})
		argv = append(argv, "--resume", id.String())
	} else {
		argv = append(argv, "--session-id", id.String())
	}
	if t.Instructions != "" {
		files = append(files, sandbox.File{Path: instructionsFile, Mode: 0o600, Data: []byte(t.Instructions)})
		argv = append(argv, "--append-system-prompt-file", instructionsFile)
	}
	if t.Schema != "" {
		if len(t.Schema) > maxSchema || !isObject(t.Schema) {
			return nil, invalidTask("the schema must be a JSON object of at most %d bytes", maxSchema)
		}
		argv = append(argv, "--json-schema="+t.Schema)
	}

	run := &Run{structured: t.Schema != "", Job: sandbox.Job{
		Execution: e.ID,
		Image:     r.Image,
		Argv:      argv,
		Env:       env,
		Stdin:     []byte("\n" + t.Input), // the newline keeps a leading slash from being a command of the CLI
		Files:     files,
		Timeout:   e.Timeout,
		Limits:    r.Limits,
	}}
	if r.Egress != nil {
		run.egress = r.Egress(e.ID, model)
		run.Job.Egress = run.egress
	}
	return run, nil
}

func (r Runtime) model(asked string) (string, *execution.Failure) {
	switch {
	case len(r.Models) == 0:
		return "none", nil
	case asked == "":
		return r.Models[0], nil
	}
	if !slices.Contains(r.Models, asked) {
		return "", failed(execution.CodeModelError, "the model %q cannot be used with the runtime %q, only: %s", asked, r.Name, strings.Join(r.Models, ", "))
	}
	return asked, nil
}

// Usage is what the run has cost so far. It is right after any end of the job,
// also one that gave no outcome.
func (r *Run) Usage() execution.Usage {
	s := r.summary()
	return execution.Usage{
		InputTokens:  s.Tokens.Input + s.Tokens.CacheRead + s.Tokens.CacheWrite5m + s.Tokens.CacheWrite1h,
		OutputTokens: s.Tokens.Output,
		CostUSD:      s.CostUSD,
		Calls:        s.Calls,
	}
}

func (r *Run) summary() gateway.Summary {
	if r.egress == nil {
		return gateway.Summary{}
	}
	return r.egress.Summary()
}

// sessionID is the same for every attempt of an execution, so that a repeated
// attempt is the same job, and differs between executions.
func sessionID(e *execution.Execution) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("airlock execution "+e.ID))
}

func hasText(history []execution.Message) bool {
	return slices.ContainsFunc(history, func(m execution.Message) bool { return m.Text != "" })
}

func isObject(text string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}

func invalidTask(format string, args ...any) *execution.Failure {
	return &execution.Failure{Code: execution.CodeAgentError, Message: fmt.Sprintf(format, args...)}
}
