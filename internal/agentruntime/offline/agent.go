// Package offline is an agent without a model, for trying and testing Airlock without an account at a provider. It has
// the interface of the Claude Code CLI: the same flags and the job on standard input come in, and lines of JSON with
// one final result go out. It never pretends to be a model: it does a few named things with text and says so.
package offline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Exit codes of the agent.
const (
	exitOK    = 0
	exitUsage = 1 // invalid flags, no message, or no session to resume; the CLI uses the same code
)

// maxInputSize bounds standard input, in bytes. The API accepts far less.
const maxInputSize = 8 << 20

// Invocation holds the arguments and the streams of one process.
type Invocation struct {
	Args   []string // without the name of the program
	Home   string   // home directory, which contains the session to resume
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// request is the parsed invocation.
type request struct {
	prompt       string
	instructions string
	history      []execution.Message
	schema       string
}

// Run executes one job and returns the exit code.
func Run(p Invocation) int {
	opts, err := parseOptions(p.Args)
	if err != nil {
		return p.failUsage(err)
	}
	req, err := p.readRequest(opts)
	if err != nil {
		return p.failUsage(err)
	}

	out := newEventWriter(p.Stdout, opts)
	out.writeInit()
	if test, ok := parseSelfTest(req.prompt); ok && req.schema == "" {
		if code := test.run(p.Stdout); code != exitOK {
			return code
		}
		out.writeResult(reply{text: test.String()})
		return exitOK
	}
	out.writeResult(buildReply(req))
	return exitOK
}

func buildReply(req request) reply {
	switch {
	case req.schema != "":
		if !isBuilderSchema(req.schema) {
			return reply{text: "The offline agent cannot fill in this schema: that needs a model.", isError: true}
		}
		return replyToMessage(req)
	case req.instructions != "":
		return reply{text: applySkill(req.instructions, req.prompt)}
	default:
		r := replyToMessage(req)
		r.structured = nil
		return r
	}
}

func (p Invocation) readRequest(opts options) (request, error) {
	input, err := streamjson.ReadInput(io.LimitReader(p.Stdin, maxInputSize))
	if err != nil {
		return request{}, err
	}
	req := request{prompt: input.Prompt, schema: input.Schema, instructions: input.Instructions}
	if strings.TrimSpace(req.prompt) == "" {
		return request{}, errors.New("the message has no text")
	}
	if opts.resume {
		file, err := os.ReadFile(sessionfile.Path(p.Home, opts.session))
		if err != nil {
			return request{}, fmt.Errorf("read the session to resume: %w", err)
		}
		if req.history, err = sessionfile.Decode(file); err != nil {
			return request{}, err
		}
	}
	return req, nil
}

func (p Invocation) failUsage(err error) int {
	fmt.Fprintf(p.Stderr, "agent-offline: %v\n", err)
	return exitUsage
}

// isBuilderSchema recognizes the schema of a builder conversation by its fields reply and agent.
func isBuilderSchema(schema string) bool {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal([]byte(schema), &s) != nil {
		return false
	}
	return s.Properties["reply"] != nil && s.Properties["agent"] != nil
}
