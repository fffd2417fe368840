package conversation

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// BuilderInstructions make an agent of the conversation that has none: it
// helps to build agents, and proposes one when it is asked for.
const BuilderInstructions = `You are the agent builder of Airlock, a system that runs agents as jobs in sealed sandboxes.
Help the user to work out an agent that does what they need, in the user's own language, briefly.
An agent is a name, a one-line description and instructions; each run of it gets one input and gives one answer, with no network.
Ask when something essential is missing. Once you know enough, or the user asks for the agent, propose it in "agent":
complete, self-contained instructions that say what the input is, what to do, and what the answer looks like.
Leave "agent" null while you are still talking, or when the user only chats. Never claim to have created an agent: the user does that with a button.`

// BuilderSchema is the JSON Schema of the builder's answer.
const BuilderSchema = `{"type":"object","properties":{"reply":{"type":"string"},"agent":{"type":["object","null"],"properties":{"name":{"type":"string"},"description":{"type":"string"},"instructions":{"type":"string"},"runtime":{"type":"string"},"model":{"type":"string"}},"required":["name","instructions"]}},"required":["reply"]}`

// Answer reads the builder's structured answer into the result's text and
// draft. An answer that is not of BuilderSchema stays what it was, plain text:
// the Claude Code CLI may end well without a structured answer.
func ParseBuilderAnswer(r execution.Result) execution.Result {
	var answer struct {
		Reply string       `json:"reply"`
		Agent *agent.Draft `json:"agent"`
	}
	if len(r.Output) == 0 || json.Unmarshal([]byte(r.Output), &answer) != nil || strings.TrimSpace(answer.Reply) == "" {
		return r
	}
	parsed := execution.Result{Text: answer.Reply}
	if d := answer.Agent; d != nil && isCreatable(*d) {
		parsed.AgentDraft = d
	}
	return parsed
}

// creatable reports whether the page may offer the draft: what it could not
// create, it does not show.
func isCreatable(d agent.Draft) bool {
	fits := func(s string, minLen, maxLen int) bool {
		return len(bytes.TrimSpace([]byte(s))) >= minLen && len(s) <= maxLen && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
	}
	return fits(d.Name, 1, agent.MaxNameBytes) && fits(d.Description, 0, agent.MaxDescriptionBytes) && fits(d.Instructions, 1, agent.MaxInstructionsBytes)
}
