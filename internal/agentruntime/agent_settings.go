package agentruntime

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Paths of the files that tell Claude Code of an agent's settings.
const (
	permissionsFile = sandbox.HomeDir + "/.airlock/permissions.json"
	mcpServersFile  = sandbox.HomeDir + "/.airlock/mcp.json"
	skillsDir       = sandbox.HomeDir + "/.claude/skills"
)

// toolsFlag begins the argument of a runtime that names the tools which its agents have.
const toolsFlag = "--tools="

// launch is how Claude Code is started for one agent: its settings, in the CLI's words. The CLI reads all of it at its
// start, so only an agent with the same settings can use one that was started before.
type launch struct {
	argv     []string // the runtime's own arguments, with fewer or other tools
	args     []string // those that come after them
	env      []string
	files    []sandbox.File
	maxTurns int
}

// newLaunch translates the settings of an agent. No text of a tenant becomes an argument: rules, servers and
// skills are in files, and the other arguments are numbers and words from a list.
func newLaunch(argv []string, maxTurns int, s agent.Settings) (launch, error) {
	if s.MaxTurns > 0 {
		maxTurns = min(maxTurns, s.MaxTurns)
	}
	l := launch{
		argv: slices.Clone(argv), args: []string{"--max-turns", strconv.Itoa(maxTurns)}, env: environmentVariables(s.Env), maxTurns: maxTurns,
	}
	if s.Effort != "" {
		l.args = append(l.args, "--effort", string(s.Effort))
	}
	l.addSkills(s.Skills)
	return l, errors.Join(l.restrictTools(s), l.addServers(s.MCPServers))
}

func environmentVariables(env map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// permissions are the settings of Claude Code about tools.
type permissions struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// restrictTools decides how the CLI asks for permission. Nobody can answer it. Without a list of allowed tools nothing
// needs permission; with one, what the list does not have is denied. Denied tools are denied in both cases.
func (l *launch) restrictTools(s agent.Settings) error {
	rules := permissions{Deny: s.Tools.Denied}
	if len(s.Tools.Allowed) == 0 {
		l.args = append(l.args, "--dangerously-skip-permissions")
	} else {
		rules.Allow = slices.Clone(s.Tools.Allowed)
		for _, skill := range s.Skills {
			rules.Allow = append(rules.Allow, skillTool+"("+skill.Name+")")
		}
		// A settings file in the workspace could allow more, so only the user's settings are read.
		l.args = append(l.args, "--permission-mode", "dontAsk", "--setting-sources", "user")
	}
	l.selectTools(s)
	if len(rules.Allow)+len(rules.Deny) == 0 {
		return nil
	}
	l.args = append(l.args, "--settings", permissionsFile)
	return l.addJSON(permissionsFile, struct {
		Permissions permissions `json:"permissions"`
	}{rules})
}

// selectTools replaces the list of built-in tools in the runtime's arguments: an allowed list leaves only its own
// tools, of those that the runtime has. An agent with skills has the tool that loads them as well.
func (l *launch) selectTools(s agent.Settings) {
	i := slices.IndexFunc(l.argv, func(arg string) bool { return strings.HasPrefix(arg, toolsFlag) })
	if i < 0 && len(s.Tools.Allowed) == 0 {
		return // the runtime has all tools
	}
	var tools []string
	if i >= 0 {
		tools = strings.Split(strings.TrimPrefix(l.argv[i], toolsFlag), ",")
		l.argv = slices.Delete(l.argv, i, i+1)
	}
	if len(s.Tools.Allowed) > 0 {
		var named []string
		for _, rule := range s.Tools.Allowed {
			name := toolOf(rule)
			if !strings.HasPrefix(name, "mcp__") && !slices.Contains(named, name) && (i < 0 || slices.Contains(tools, name)) {
				named = append(named, name)
			}
		}
		tools = named
	}
	if len(s.Skills) > 0 && !slices.Contains(tools, skillTool) {
		tools = append(tools, skillTool)
	}
	l.argv = append(l.argv, toolsFlag+strings.Join(tools, ","))
}

// The names of tools of Claude Code that have a meaning here.
const (
	skillTool       = "Skill" // loads a skill
	subagentTool    = "Task"  // starts a sub-agent
	subagentNewName = "Agent" // its name in requests to the model
)

// toolOf returns the tool that a rule is about, by the name that the flag knows.
func toolOf(rule string) string {
	name, _, _ := strings.Cut(rule, "(")
	if name == subagentNewName {
		return subagentTool
	}
	return name
}

// addServers declares the MCP servers. They are the only ones: the CLI does not look for others in the workspace.
func (l *launch) addServers(servers []agent.MCPServer) error {
	if len(servers) == 0 {
		return nil
	}
	type server struct {
		Type    string            `json:"type"`
		Command string            `json:"command"`
		Args    []string          `json:"args"`
		Env     map[string]string `json:"env,omitempty"`
	}
	declared := map[string]server{}
	for _, s := range servers {
		declared[s.Name] = server{"stdio", s.Command, append([]string{}, s.Args...), s.Env}
	}
	l.args = append(l.args, "--strict-mcp-config", "--mcp-config", mcpServersFile)
	return l.addJSON(mcpServersFile, map[string]any{"mcpServers": declared})
}

// addSkills puts the skills where the CLI looks for those of its user. The CLI's own skills are not offered: they are
// for people at a terminal.
func (l *launch) addSkills(skills []agent.Skill) {
	if len(skills) > 0 {
		l.env = append(l.env, "CLAUDE_CODE_DISABLE_BUNDLED_SKILLS=1")
	}
	for _, skill := range skills {
		for _, f := range skill.Files {
			mode := uint32(0o644)
			if strings.HasPrefix(string(f.Data), "#!") {
				mode = 0o755
			}
			l.files = append(l.files, sandbox.File{Path: skillsDir + "/" + skill.Name + "/" + f.Path, Mode: mode, Data: f.Data})
		}
	}
}

func (l *launch) addJSON(path string, content any) error {
	data, err := json.Marshal(content)
	l.files = append(l.files, sandbox.File{Path: path, Mode: 0o600, Data: data})
	return err
}

// checkSettings fails if the runtime cannot give the settings to the agent. The API has checked that when the agent was
// made; the operator may have changed the runtime since.
func (r Runtime) checkSettings(s agent.Settings) *execution.Failure {
	c := r.Capabilities()
	c.MaxTurns = agent.MaxTurns // the smaller one applies
	if problems := c.Check(r.Name, s); len(problems) > 0 {
		return newFailure(execution.CodeInvalidTask, "%s: %s", problems[0].Field, problems[0].Detail)
	}
	return nil
}
