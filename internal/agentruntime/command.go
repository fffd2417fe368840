package agentruntime

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// command is the contract of any program: the input on its standard input, the
// result on its standard output, and exit code 0. What else there is to a task
// lies in files that variables point to.
type command struct{}

const (
	historyFile = home + "/.airlock/history.json"
	schemaFile  = home + "/.airlock/schema.json"
)

func (command) call(r *Run, e *execution.Execution) *execution.Failure {
	t := e.Task
	r.Job.Stdin = []byte(t.Input)
	lay := func(variable, path string, data []byte) {
		if len(data) > 0 {
			r.Job.Files = append(r.Job.Files, sandbox.File{Path: path, Mode: 0o600, Data: data})
			r.Job.Env = append(r.Job.Env, variable+"="+path)
		}
	}
	instructions := r.runtime.Instructions
	if instructions == "" {
		instructions = catalog.DefaultInstructions
	}
	lay("AIRLOCK_INSTRUCTIONS", instructions, []byte(t.Instructions))
	lay("AIRLOCK_SCHEMA", schemaFile, []byte(t.Schema))
	if hasText(t.History) {
		history, err := encodeHistory(t.History)
		if err != nil {
			return failed(execution.CodeInvalidTask, "the history cannot be given to the agent: %v", err)
		}
		lay("AIRLOCK_HISTORY", historyFile, history)
	}
	if r.Model != "" {
		r.Job.Env = append(r.Job.Env, "AIRLOCK_MODEL="+r.Model)
	}
	return nil
}

func encodeHistory(history []execution.Message) ([]byte, error) {
	type message struct {
		Role string `json:"role"`
		Text string `json:"text"`
	}
	messages := make([]message, len(history))
	for i, m := range history {
		messages[i] = message{string(m.Role), m.Text}
	}
	return json.Marshal(messages)
}

func (command) read(r *Run, o sandbox.Outcome) (*execution.Result, *execution.Failure) {
	out := bytes.TrimSpace(o.Stdout)
	switch {
	case o.ExitCode != 0 && r.Egress().LastCallFailed():
		return nil, r.modelFailure(0, "")
	case o.ExitCode != 0:
		return nil, badExit(o)
	case o.Truncated:
		return nil, tooMuchOutput(o)
	case len(out) == 0:
		return nil, noAnswer()
	case r.runtime.Output == catalog.JSON:
		if err := strictjson.Check(out); err != nil {
			return nil, failed(execution.CodeInvalidResult, "the agent's result cannot be read: %s", excerpt(err.Error()))
		}
		return &execution.Result{Text: string(out), Output: string(out)}, nil
	case !utf8.Valid(out) || bytes.ContainsRune(out, 0):
		return nil, failed(execution.CodeInvalidResult, "the agent's result is not text: it must be UTF-8 without NUL")
	default:
		return &execution.Result{Text: strings.TrimRight(string(o.Stdout), " \t\r\n")}, nil
	}
}
