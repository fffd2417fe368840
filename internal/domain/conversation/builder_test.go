package conversation

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestParseBuilderAnswer(t *testing.T) {
	const output = `{"reply":"Here it is.","agent":{"name":"A","description":"d","instructions":"do","runtime":"offline","model":"m"}}`
	got := ParseBuilderAnswer(execution.Result{Text: "in words", Output: output})
	require.Empty(t, cmp.Diff(execution.Result{
		Text:       "Here it is.",
		AgentDraft: &agent.Draft{Name: "A", Description: "d", Instructions: "do", Runtime: "offline", Model: "m"},
	}, got))
}

func TestParseBuilderAnswerWithoutDraft(t *testing.T) {
	for _, output := range []string{`{"reply":"Which one?"}`, `{"reply":"Which one?","agent":null}`, `{"reply":"Which one?","more":1}`} {
		require.Equal(t, execution.Result{Text: "Which one?"}, ParseBuilderAnswer(execution.Result{Text: "in words", Output: output}), output)
	}
}

func TestParseBuilderAnswerKeepsMalformedOutput(t *testing.T) {
	for name, output := range map[string]string{
		"none":              "",
		"not JSON":          "certainly!",
		"truncated":         `{"reply":"x"`,
		"two values":        `{"reply":"x"} {"reply":"y"}`,
		"list":              `[]`,
		"null":              `null`,
		"no reply":          `{}`,
		"empty reply":       `{"reply":""}`,
		"blank reply":       `{"reply":" \n"}`,
		"numeric reply":     `{"reply":1}`,
		"textual agent":     `{"reply":"x","agent":"A"}`,
		"name is an object": `{"reply":"x","agent":{"name":{}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r := execution.Result{Text: "in words", Output: output}
			require.Equal(t, r, ParseBuilderAnswer(r))
		})
	}
}

// A draft from which no agent can be created is dropped.
func TestParseBuilderAnswerDropsInvalidDraft(t *testing.T) {
	valid := agent.Draft{Name: "A", Instructions: "B"}
	for name, invalidate := range map[string]func(*agent.Draft){
		"no name":           func(d *agent.Draft) { d.Name = "" },
		"blank name":        func(d *agent.Draft) { d.Name = " \t" },
		"long name":         func(d *agent.Draft) { d.Name = strings.Repeat("n", agent.MaxNameBytes+1) },
		"NUL in the name":   func(d *agent.Draft) { d.Name = "a\x00b" },
		"long description":  func(d *agent.Draft) { d.Description = strings.Repeat("d", agent.MaxDescriptionBytes+1) },
		"long runtime":      func(d *agent.Draft) { d.Runtime = strings.Repeat("r", agent.MaxNameBytes+1) },
		"long model":        func(d *agent.Draft) { d.Model = strings.Repeat("m", agent.MaxNameBytes+1) },
		"no instructions":   func(d *agent.Draft) { d.Instructions = "" },
		"long instructions": func(d *agent.Draft) { d.Instructions = strings.Repeat("i", agent.MaxInstructionsBytes+1) },
		"long in bytes":     func(d *agent.Draft) { d.Name = strings.Repeat("é", agent.MaxNameBytes/2+1) },
	} {
		t.Run(name, func(t *testing.T) {
			d := valid
			invalidate(&d)
			require.Equal(t, execution.Result{Text: "Look:"}, ParseBuilderAnswer(builderResult(t, d)))
		})
	}
	require.Equal(t, &valid, ParseBuilderAnswer(builderResult(t, valid)).AgentDraft)
	longest := agent.Draft{
		Name: strings.Repeat("n", agent.MaxNameBytes), Description: strings.Repeat("d", agent.MaxDescriptionBytes),
		Instructions: strings.Repeat("i", agent.MaxInstructionsBytes),
	}
	require.Equal(t, &longest, ParseBuilderAnswer(builderResult(t, longest)).AgentDraft)
}

func builderResult(t *testing.T, d agent.Draft) execution.Result {
	t.Helper()
	output, err := json.Marshal(map[string]any{"reply": "Look:", "agent": d})
	require.NoError(t, err)
	return execution.Result{Output: string(output)}
}

func TestBuilderSchemaIsJSON(t *testing.T) {
	require.True(t, json.Valid([]byte(BuilderSchema)))
}
