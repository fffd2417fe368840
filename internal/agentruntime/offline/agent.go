// Package offline is an agent without a model. It speaks the contract of the
// Claude Code CLI (the same flags, the prompt on standard input, lines of JSON
// on standard output, one final result), so that everything around an agent can
// be tried, tested and learned without an account anywhere. It never pretends
// to be a model: it does a few named things with text and says so.
package offline

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/airlock-run/airlock/internal/agentruntime/session"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Exit codes of the agent.
const (
	exitDone  = 0
	exitUsage = 1 // as the CLI's: bad flags, no prompt, no session to resume
)

// maxPrompt bounds standard input, bytes. The API accepts far less.
const maxPrompt = 8 << 20

// Process is what the agent is given by its surroundings.
type Process struct {
	Args   []string // without the program's name
	Home   string   // where the session to resume lies
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
}

// request is what the agent is asked to do.
type request struct {
	prompt       string
	instructions string
	history      []execution.Message
	schema       string
}

// Run does one job and returns the exit code.
func Run(p Process) int {
	opts, err := parseOptions(p.Args)
	if err != nil {
		return p.refuse(err)
	}
	req, err := p.read(opts)
	if err != nil {
		return p.refuse(err)
	}

	out := newReport(p.Stdout, opts)
	out.start()
	if test, ok := selfTestOf(req.prompt); ok && req.schema == "" {
		if code := test.run(p.Stdout); code != exitDone {
			return code
		}
		out.finish(reply{text: test.String()})
		return exitDone
	}
	out.finish(answer(req))
	return exitDone
}

func answer(req request) reply {
	switch {
	case req.schema != "":
		if !isBuilder(req.schema) {
			return reply{text: "The offline agent cannot fill in this schema: that takes a model.", isError: true}
		}
		return converse(req)
	case req.instructions != "":
		return reply{text: transform(req.instructions, req.prompt)}
	default:
		r := converse(req)
		r.structured = nil
		return r
	}
}

func (p Process) read(opts options) (request, error) {
	prompt, err := io.ReadAll(io.LimitReader(p.Stdin, maxPrompt+1))
	if err != nil {
		return request{}, fmt.Errorf("read the prompt: %w", err)
	}
	if len(prompt) > maxPrompt {
		return request{}, fmt.Errorf("the prompt is longer than %d bytes", maxPrompt)
	}
	req := request{prompt: strings.TrimPrefix(string(prompt), "\n"), schema: opts.schema, instructions: opts.instructions}
	if strings.TrimSpace(req.prompt) == "" {
		return request{}, fmt.Errorf("no prompt on standard input")
	}
	if opts.instructionsFile != "" {
		text, err := os.ReadFile(opts.instructionsFile)
		if err != nil {
			return request{}, fmt.Errorf("read the instructions: %w", err)
		}
		req.instructions = string(text)
	}
	if opts.resume {
		file, err := os.ReadFile(session.Path(p.Home, opts.session))
		if err != nil {
			return request{}, fmt.Errorf("read the session to resume: %w", err)
		}
		if req.history, err = session.Decode(file); err != nil {
			return request{}, err
		}
	}
	return req, nil
}

func (p Process) refuse(err error) int {
	fmt.Fprintf(p.Stderr, "agent-offline: %v\n", err)
	return exitUsage
}

// isBuilder tells the schema of a builder conversation by its shape: a reply
// in words, and perhaps an agent.
func isBuilder(schema string) bool {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if json.Unmarshal([]byte(schema), &s) != nil {
		return false
	}
	return s.Properties["reply"] != nil && s.Properties["agent"] != nil
}
