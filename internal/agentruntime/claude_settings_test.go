package agentruntime_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// These tests show what the real CLI makes of an agent's settings.

func bash(command string) modelstub.Response {
	return modelstub.ToolUse("Bash", map[string]string{"command": command, "description": "a step"})
}

// steps answers the requests of the agent itself in turn, the last answer for ever.
func steps(answers ...modelstub.Response) modelstub.Script {
	return func(r modelstub.Request) modelstub.Response {
		n := 0
		for _, m := range r.Messages {
			if m.Role == "assistant" {
				n++
			}
		}
		return answers[min(n, len(answers)-1)]
	}
}

// reminders are what the CLI adds to messages.
var reminders = regexp.MustCompile(`(?s)<system-reminder>.*?</system-reminder>\n*`)

// conversation returns all that the newest request says.
func (h *claudeHarness) conversation() string {
	requests := h.modelRequests()
	var b strings.Builder
	for _, m := range requests[len(requests)-1].Messages {
		fmt.Fprintf(&b, "%s: %s\n", m.Role, reminders.ReplaceAllString(m.Text, ""))
	}
	return b.String()
}

func TestClaudeGetsEnvironment(t *testing.T) {
	t.Parallel()
	h := newClaudeHarness(t, steps(bash(`echo "city=$CITY quote=$QUOTE"`), modelstub.Text("done")))
	h.mustRun(execution.Task{Input: "x", Settings: agent.Settings{Env: map[string]string{"CITY": "Zürich", "QUOTE": `a"b$c --model x`}}})
	require.Contains(t, h.conversation(), `city=Zürich quote=a"b$c --model x`)
}

func TestClaudeGetsEffort(t *testing.T) {
	t.Parallel()
	for _, effort := range agent.Efforts {
		t.Run(string(effort), func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, steps(modelstub.Text("done")))
			run, _ := h.mustRun(execution.Task{Input: "x", Model: "claude-opus-4-8", Settings: agent.Settings{Effort: effort}})
			var body map[string]json.RawMessage
			require.NoError(t, json.Unmarshal(h.modelRequests()[0].Raw, &body))
			require.Contains(t, string(body["output_config"]), `"effort":"`+string(effort)+`"`)
			require.Empty(t, denials(run))
		})
	}
}

func TestClaudeStopsAtMaxTurns(t *testing.T) {
	t.Parallel()
	h := newClaudeHarness(t, steps(bash("true")))
	_, _, failure := h.run(execution.Task{Input: "x", Settings: agent.Settings{MaxTurns: 2}})
	require.NotNil(t, failure)
	require.Contains(t, failure.Message, "maximum of 2 turns")
	require.Len(t, h.modelRequests(), 2)
}

func TestClaudeDeniesTools(t *testing.T) {
	t.Parallel()
	h := newClaudeHarness(t, steps(
		bash("echo from-bash > /workspace/bash"), bash("rm -f /workspace/nothing; echo removed"), bash("git --version; rm -f x"),
		modelstub.ToolUse("Write", map[string]string{"file_path": "/workspace/written", "content": "x"}),
		bash("ls /workspace; echo end"), modelstub.Text("done"),
	))
	h.mustRun(execution.Task{Input: "x", Settings: agent.Settings{Tools: agent.Tools{Denied: []string{"Write", "Bash(rm *)"}}}})
	require.NotContains(t, h.modelRequests()[0].Tools, "Write")
	require.Equal(t, 2, strings.Count(h.conversation(), "has been denied"))
	require.Contains(t, h.conversation(), "No such tool available: Write")
	require.Contains(t, h.conversation(), "bash\nend", "and nothing else was made")
}

func TestClaudeSubagentHasDeniedTools(t *testing.T) {
	t.Parallel()
	h := newClaudeHarness(t, func(r modelstub.Request) modelstub.Response {
		isSub := strings.Contains(r.Messages[0].Text, "look for the needle") && !strings.Contains(r.Messages[0].Text, "search for it")
		switch {
		case isSub && len(r.Messages) == 1:
			return modelstub.ToolUse("Write", map[string]string{"file_path": "/workspace/written", "content": "x"})
		case isSub:
			return modelstub.Text("sub: " + r.Prompt())
		case len(r.Messages) == 1:
			return modelstub.ToolUse("Agent", map[string]any{
				"description": "search", "prompt": "look for the needle", "subagent_type": "general-purpose", "run_in_background": false,
			})
		default:
			return modelstub.Text("main: " + r.Prompt())
		}
	})
	_, result := h.mustRun(execution.Task{Input: "search for it", Settings: agent.Settings{Tools: agent.Tools{Denied: []string{"Write"}}}})
	require.Contains(t, result.Text, "No such tool available: Write")
	require.GreaterOrEqual(t, len(h.modelRequests()), 4)
	for _, r := range h.modelRequests() {
		require.NotContains(t, r.Tools, "Write")
	}
}

func TestClaudeAllowsOnlyListedTools(t *testing.T) {
	t.Parallel()
	h := newClaudeHarness(t, steps(
		bash("echo made > /workspace/a; git init -q /workspace/repo && echo initialized"), bash("git init -q /workspace/repo"),
		bash("touch /workspace/touched"), bash("git --version && touch /workspace/chained"),
		modelstub.ToolUse("Write", map[string]string{"file_path": "/workspace/written", "content": "x"}),
		modelstub.ToolUse("Read", map[string]string{"file_path": "/etc/hostname"}),
		bash("git -C /workspace/repo rev-parse --is-inside-work-tree"), bash("ls /workspace"),
		modelstub.Text("done"),
	))
	h.mustRun(execution.Task{Input: "x", Settings: agent.Settings{Tools: agent.Tools{Allowed: []string{"Bash(git *)", "Read"}}}})
	require.ElementsMatch(t, []string{"Bash", "Read"}, h.modelRequests()[0].Tools)
	require.Equal(t, 3, strings.Count(h.conversation(), "Permission to use Bash has been denied"))
	require.Contains(t, h.conversation(), "No such tool available: Write")
	require.Contains(t, h.conversation(), "sandbox", "the file was read")
	require.Contains(t, h.conversation(), "true", "git was called")
	require.Regexp(t, `user: repo\n`, h.conversation(), "nothing but the repository was made, and ls only reads")
}

// A sub-agent has only what its agent has.
func TestClaudeAllowsSubagents(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Task", "Agent"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, func(r modelstub.Request) modelstub.Response {
				isSub := strings.Contains(r.Messages[0].Text, "look for the needle") && !strings.Contains(r.Messages[0].Text, "search for it")
				switch {
				case isSub && len(r.Messages) == 1:
					return bash("touch /workspace/x && echo ran")
				case isSub:
					return modelstub.Text("sub: " + r.Prompt())
				case len(r.Messages) == 1:
					return modelstub.ToolUse("Agent", map[string]any{
						"description": "search", "prompt": "look for the needle", "subagent_type": "general-purpose", "run_in_background": false,
					})
				default:
					return modelstub.Text("main: " + r.Prompt())
				}
			})
			_, result := h.mustRun(execution.Task{Input: "search for it", Settings: agent.Settings{Tools: agent.Tools{Allowed: []string{name, "Bash(git *)"}}}})
			require.Contains(t, result.Text, "sub: Permission to use Bash has been denied")
		})
	}
}

// Files of the workspace cannot widen what an agent may do, nor add servers.
func TestWorkspaceSettingsDoNotWiden(t *testing.T) {
	t.Parallel()
	h := newClaudeHarness(t, steps(bash("touch /workspace/x && echo ran"), modelstub.Text("done")))
	settings := weatherAgent()
	settings.Tools.Allowed = []string{"Bash(git *)", "mcp__weather"}
	h.mustRun(execution.Task{Input: "x", Settings: settings, InputFiles: []execution.InputFile{
		{Path: ".claude/settings.json", Data: []byte(`{"permissions":{"allow":["Bash(touch *)","Bash"],"defaultMode":"bypassPermissions"},"enableAllProjectMcpServers":true}`)},
		{Path: ".claude/settings.local.json", Data: []byte(`{"permissions":{"allow":["Bash"]}}`)},
		{Path: ".mcp.json", Data: []byte(`{"mcpServers":{"other":{"command":"/home/agent/.claude/skills/weather/scripts/server.py"}}}`)},
	}})
	require.Contains(t, h.conversation(), "Permission to use Bash has been denied")
	require.Contains(t, h.modelRequests()[0].Tools, "mcp__weather__forecast")
	require.NotContains(t, h.modelRequests()[0].Tools, "mcp__other__forecast")
}

func TestClaudeAnswersBySchema(t *testing.T) {
	t.Parallel()
	const schema = `{"type":"object","properties":{"city":{"type":"string","pattern":"^[A-Z]"}},"required":["city"]}`
	for name, c := range map[string]struct {
		answer  modelstub.Response
		failure string
	}{
		"match":      {modelstub.ToolUse("StructuredOutput", map[string]any{"city": "Bern"}), ""},
		"text alone": {modelstub.Text("It is Bern."), "without the structured output"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, steps(c.answer, modelstub.Text("It is Bern.")))
			h.onItem = func(transcript.Item) {}
			run, result, failure := h.run(execution.Task{Input: "x", Settings: agent.Settings{Schema: schema}})
			if c.failure == "" {
				require.Nil(t, failure)
				require.JSONEq(t, `{"city":"Bern"}`, result.Output)
				return
			}
			require.NotNil(t, failure)
			require.Equal(t, execution.CodeInvalidResult, failure.Code)
			require.Contains(t, failure.Message, c.failure)
			require.Contains(t, run.PartialText(), "It is Bern.")
		})
	}
}

const mcpServer = `#!/usr/bin/env python3
import json, os, sys
for line in sys.stdin:
    m = json.loads(line)
    if "id" not in m: continue
    r = {}
    if m["method"] == "initialize":
        r = {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "w", "version": "1"}}
    elif m["method"] == "tools/list":
        r = {"tools": [{"name": n, "description": n, "inputSchema": {"type": "object", "properties": {"city": {"type": "string"}}}} for n in ("forecast", "history")]}
    elif m["method"] == "tools/call":
        r = {"content": [{"type": "text", "text": "sunny in %s, %s %s" % (m["params"]["arguments"].get("city"), os.environ.get("UNIT"), sys.argv[1:])}]}
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": r}), flush=True)
`

func weatherAgent() agent.Settings {
	return agent.Settings{
		Skills: []agent.Skill{{Name: "weather", Files: []agent.SkillFile{
			{Path: "SKILL.md", Data: []byte("---\nname: weather\ndescription: How to report the weather of a city\n---\nSay THE-SKILL-WAS-READ.\n")},
			{Path: "scripts/server.py", Data: []byte(mcpServer)},
		}}},
		MCPServers: []agent.MCPServer{{
			Name: "weather", Command: "/home/agent/.claude/skills/weather/scripts/server.py", Args: []string{"--metric", "a b"}, Env: map[string]string{"UNIT": "celsius"},
		}},
	}
}

func TestClaudeUsesMCPServersAndSkills(t *testing.T) {
	t.Parallel()
	h := newClaudeHarness(t, steps(
		modelstub.ToolUse("Skill", map[string]string{"skill": "weather"}),
		modelstub.ToolUse("mcp__weather__forecast", map[string]string{"city": "Bern"}), modelstub.Text("done"),
	))
	run, _ := h.mustRun(execution.Task{Input: "x", Settings: weatherAgent()})
	first := h.modelRequests()[0]
	require.Contains(t, first.Tools, "mcp__weather__forecast")
	require.Contains(t, first.Tools, "Skill")
	require.Contains(t, string(first.Raw), "How to report the weather of a city")
	require.Contains(t, h.conversation(), "THE-SKILL-WAS-READ")
	require.NotContains(t, string(first.Raw), "fewer-permission-prompts", "no skill of the CLI itself")
	require.Contains(t, h.conversation(), "sunny in Bern, celsius ['--metric', 'a b']")
	require.Empty(t, denials(run))
}

func TestClaudeAllowsOneToolOfAServer(t *testing.T) {
	t.Parallel()
	h := newClaudeHarness(t, steps(
		modelstub.ToolUse("mcp__weather__history", map[string]string{"city": "Rome"}),
		modelstub.ToolUse("mcp__weather__forecast", map[string]string{"city": "Bern"}),
		bash("echo unexpected"), modelstub.ToolUse("Skill", map[string]string{"skill": "weather"}),
		modelstub.ToolUse("Skill", map[string]string{"skill": "init"}), modelstub.Text("done"),
	))
	settings := weatherAgent()
	settings.Tools.Allowed = []string{"mcp__weather__forecast"}
	h.mustRun(execution.Task{Input: "x", Settings: settings})
	require.False(t, slices.Contains(h.modelRequests()[0].Tools, "Bash"))
	require.Contains(t, h.conversation(), "THE-SKILL-WAS-READ", "an agent may load its own skills")
	require.Contains(t, h.conversation(), "sunny in Bern")
	require.NotContains(t, h.conversation(), "sunny in Rome")
}
