package agentruntime

import (
	"io"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// contract is one way to call an agent and to read what it prints. Implementations have no state.
type contract interface {
	// prepareJob completes r.Job: arguments, environment, standard input and files.
	prepareJob(r *Run, e *execution.Execution) *execution.Failure
	// readsAtStart reports whether an agent reads the input file of that name when it starts. The name is relative to the
	// working folder.
	readsAtStart(name string) bool
	// sessionPath is the path of the output file that has the session of an agent.
	sessionPath(r *Run) string
	// extractSession returns the session in that file and its content; nil: none that a later turn can use, or one without
	// this turn.
	extractSession(r *Run, file *io.SectionReader) (*execution.AgentSession, []byte)
	// reportItems calls onItem for each thing that one line of the output says about the agent's work.
	reportItems(line []byte, onItem func(transcript.Item))
	// reportSaying calls onSaying if one line of the output is a part of a text that the agent is saying.
	reportSaying(line []byte, onSaying func(part string, begins bool))
	// parseResult reads the outcome of an agent that exited by itself. It returns either a result or a failure.
	parseResult(r *Run, o sandbox.Outcome) (*execution.Result, *execution.Failure)
}

var contracts = map[catalog.Contract]contract{
	catalog.StreamJSON: streamJSON{},
	catalog.Command:    command{},
}
