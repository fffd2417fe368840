package agentruntime

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

var claudeArgv = []string{"claude", "--tools=Bash,Read,Write,Task"}

func mustLaunch(t require.TestingT, s agent.Settings) launch {
	l, err := newLaunch(claudeArgv, 50, s)
	require.NoError(t, err)
	return l
}

func TestAgentWithoutSettings(t *testing.T) {
	l := mustLaunch(t, agent.Settings{})
	require.Equal(t, launch{argv: claudeArgv, args: []string{"--max-turns", "50", "--dangerously-skip-permissions"}, maxTurns: 50}, l)
}

func TestToolsOfAnAgent(t *testing.T) {
	skills := []agent.Skill{{Name: "s"}}
	for name, c := range map[string]struct {
		settings agent.Settings
		tools    string
	}{
		"denied":              {agent.Settings{Tools: agent.Tools{Denied: []string{"Bash"}}}, "Bash,Read,Write,Task"},
		"allowed":             {agent.Settings{Tools: agent.Tools{Allowed: []string{"Read", "Bash(git *)", "Bash(ls)"}}}, "Read,Bash"},
		"none of the runtime": {agent.Settings{Tools: agent.Tools{Allowed: []string{"WebFetch", "mcp__a"}}}, ""},
		"sub-agents":          {agent.Settings{Tools: agent.Tools{Allowed: []string{"Agent", "Task"}}}, "Task"},
		"skills":              {agent.Settings{Skills: skills}, "Bash,Read,Write,Task,Skill"},
		"skills and allowed":  {agent.Settings{Skills: skills, Tools: agent.Tools{Allowed: []string{"Read"}}}, "Read,Skill"},
	} {
		require.Equal(t, []string{"claude", "--tools=" + c.tools}, mustLaunch(t, c.settings).argv, name)
	}
	l, err := newLaunch([]string{"claude"}, 50, agent.Settings{Tools: agent.Tools{Allowed: []string{"WebFetch"}}})
	require.NoError(t, err)
	require.Equal(t, []string{"claude", "--tools=WebFetch"}, l.argv, "the runtime has all tools")
	require.Equal(t, []string{"claude", "--tools=Bash,Read,Write,Task"}, claudeArgv, "unchanged")
}

func TestMaxTurnsOfRuntimeIsTheMaximum(t *testing.T) {
	require.Equal(t, 7, mustLaunch(t, agent.Settings{MaxTurns: 7}).maxTurns)
	require.Equal(t, 50, mustLaunch(t, agent.Settings{MaxTurns: 51}).maxTurns, "the operator has lowered it since")
}

// Whatever the API accepts as settings, the command line has only words of Airlock, names of tools and numbers.
func TestNoTextOfATenantIsAnArgument(t *testing.T) {
	ours := []string{
		"--max-turns", "--effort", "--dangerously-skip-permissions", "--permission-mode", "dontAsk", "--setting-sources", "user",
		"--settings", permissionsFile, "--strict-mcp-config", "--mcp-config", mcpServersFile, "50", "3",
	}
	texts := rapid.OneOf(
		rapid.SampledFrom([]string{"Read", "Bash(git *)", "--model", "-p", "Read,--model", "Bash(a) --add-dir /", "mcp__a__b", "Read\n--x", "A(,)"}),
		rapid.String(),
	)
	rapid.Check(t, func(t *rapid.T) {
		var s agent.Settings
		s.Tools.Allowed = rapid.SliceOfN(texts, 0, 4).Draw(t, "allowed")
		s.Tools.Denied = rapid.SliceOfN(texts, 0, 4).Draw(t, "denied")
		s.Env = rapid.MapOfN(texts, texts, 0, 3).Draw(t, "env")
		s.MCPServers = []agent.MCPServer{{Name: texts.Draw(t, "server"), Command: texts.Draw(t, "command"), Args: []string{texts.Draw(t, "arg")}}}
		s.Skills = []agent.Skill{{Name: texts.Draw(t, "skill"), Files: []agent.SkillFile{
			{Path: "SKILL.md", Data: []byte("x")}, {Path: texts.Draw(t, "path")},
		}}}
		s.MaxTurns, s.Effort = rapid.SampledFrom([]int{0, 3}).Draw(t, "turns"), rapid.SampledFrom(agent.Efforts).Draw(t, "effort")
		for _, p := range s.Check() { // keep what the API would accept
			switch field, _, _ := strings.Cut(p.Field, "."); field {
			case "tools":
				s.Tools = agent.Tools{}
			case "env":
				s.Env = nil
			case "mcpServers":
				s.MCPServers = nil
			case "skills":
				s.Skills = nil
			}
		}
		l := mustLaunch(t, s)
		for _, arg := range l.args {
			require.True(t, slices.Contains(ours, arg) || slices.Contains(agent.Efforts, agent.Effort(arg)), arg)
		}
		require.Len(t, l.argv, 2)
		for tool := range strings.SplitSeq(strings.TrimPrefix(l.argv[1], toolsFlag), ",") {
			require.Contains(t, append(strings.Split("Bash,Read,Write,Task", ","), skillTool, ""), tool)
		}
		for _, f := range l.files {
			require.True(t, strings.HasPrefix(f.Path, "/home/agent/.airlock/") || strings.HasPrefix(f.Path, skillsDir+"/"), f.Path)
			require.NotContains(t, f.Path, "..")
			if strings.HasSuffix(f.Path, ".json") && !strings.HasPrefix(f.Path, skillsDir) {
				require.True(t, json.Valid(f.Data))
			}
		}
		for _, entry := range l.env {
			name, _, _ := strings.Cut(entry, "=")
			require.True(t, !agent.ReservedEnv(name) || entry == "CLAUDE_CODE_DISABLE_BUNDLED_SKILLS=1", entry)
		}
	})
}

// A runtime that an operator has changed since refuses the settings, and does not ignore them.
func TestRuntimeRefusesSettings(t *testing.T) {
	r := Runtime{Runtime: catalog.Runtime{Name: "tool", Image: "i", Contract: catalog.Command, Argv: []string{"/tool"}}}
	prepare := func(s agent.Settings) *execution.Failure {
		_, failure := NewRegistry(r).Prepare(t.Context(), &execution.Execution{ID: "exe", Task: execution.Task{Settings: s}})
		return failure
	}
	require.Equal(t, &execution.Failure{
		Code: execution.CodeInvalidTask, Message: `effort: the runtime "tool" does not support it; it supports env`,
	}, prepare(agent.Settings{Effort: "low"}))
	require.Equal(t, execution.CodeInvalidTask, prepare(agent.Settings{Schema: "{}"}).Code, "it prints text")
	require.Nil(t, prepare(agent.Settings{Env: map[string]string{"A": "b"}}))
	r.Output = catalog.JSON
	require.Nil(t, prepare(agent.Settings{Schema: `{"type":"object"}`}))
	r.Settings = []agent.Setting{agent.SettingSchema}
	require.NotNil(t, prepare(agent.Settings{Env: map[string]string{"A": "b"}}))
}
