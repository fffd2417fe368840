package conversation

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// BuilderInstructions are the instructions of the agent builder. A conversation without an agent runs them: it helps
// the user to design an agent, and proposes one.
const BuilderInstructions = `You are the agent builder of Airlock, a system that runs agents as jobs in sealed sandboxes.
Help the user to work out an agent that does what they need, in the user's own language, briefly.
An agent is a name, a one-line description and instructions; each run of it gets one input and gives one answer. It reaches no network unless its environment allows hosts.
Ask when something essential is missing. Once you know enough, or the user asks for the agent, propose it in "agent":
complete, self-contained instructions that say what the input is, what to do, and what the answer looks like.
Leave "agent" null while you are still talking, or when the user only chats. Never claim to have created an agent: the user does that with a button.`

// BuilderSchema is the JSON Schema of the agent builder's answer.
const BuilderSchema = `{"type":"object","properties":{"reply":{"type":"string"},"agent":{"type":["object","null"],"properties":{"name":{"type":"string"},"description":{"type":"string"},"instructions":{"type":"string"},"runtime":{"type":"string"},"model":{"type":"string"}},"required":["name","instructions"]}},"required":["reply"]}`

// ParseBuilderAnswer reads the builder's structured answer into the result's text and draft. If the answer does not
// match BuilderSchema, the result stays as it is, plain text: the Claude Code CLI may succeed without a structured
// answer.
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

// isCreatable reports whether an agent can be created from the draft. The web page does not offer other drafts.
func isCreatable(d agent.Draft) bool {
	fits := func(s string, minLen, maxLen int) bool {
		return len(strings.TrimSpace(s)) >= minLen && len(s) <= maxLen && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
	}
	return fits(d.Name, 1, agent.MaxNameBytes) &&
		fits(d.Description, 0, agent.MaxDescriptionBytes) &&
		fits(d.Instructions, 1, agent.MaxInstructionsBytes) &&
		fits(d.Runtime, 0, agent.MaxNameBytes) &&
		fits(d.Model, 0, agent.MaxNameBytes)
}
