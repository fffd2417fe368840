package agent

import (
	"fmt"
	"slices"
	"strings"
)

// Setting is the name of a field of Settings, as the API has it.
type Setting string

// The settings.
const (
	SettingSchema     Setting = "schema"
	SettingMaxTurns   Setting = "maxTurns"
	SettingEffort     Setting = "effort"
	SettingEnv        Setting = "env"
	SettingTools      Setting = "tools"
	SettingMCPServers Setting = "mcpServers"
	SettingSkills     Setting = "skills"
)

// AllSettings are the settings in the order in which they are shown.
var AllSettings = []Setting{
	SettingSchema, SettingMaxTurns, SettingEffort, SettingEnv, SettingTools, SettingMCPServers, SettingSkills,
}

// Capabilities say which settings a runtime can give to its agent, and whether that can hold conversations.
type Capabilities struct {
	Settings      []Setting
	MaxTurns      int      // the runtime's maximum
	ReservedEnv   []string // variables that the runtime sets itself
	Conversations bool     // the agent gets the earlier messages of a conversation
}

// Used returns the settings that are set.
func (s Settings) Used() []Setting {
	var used []Setting
	for name, set := range map[Setting]bool{
		SettingSchema: s.Schema != "", SettingMaxTurns: s.MaxTurns != 0, SettingEffort: s.Effort != "", SettingEnv: len(s.Env) > 0,
		SettingTools:      len(s.Tools.Allowed)+len(s.Tools.Denied) > 0,
		SettingMCPServers: len(s.MCPServers) > 0, SettingSkills: len(s.Skills) > 0,
	} {
		if set {
			used = append(used, name)
		}
	}
	slices.SortFunc(used, func(a, b Setting) int { return slices.Index(AllSettings, a) - slices.Index(AllSettings, b) })
	return used
}

// Check returns what a runtime cannot do of an agent's settings.
func (c Capabilities) Check(runtime string, s Settings) []Problem {
	var problems []Problem
	for _, used := range s.Used() {
		if !slices.Contains(c.Settings, used) {
			problems = append(problems, Problem{string(used), fmt.Sprintf("the runtime %q does not support it; it supports %s", runtime, c.supported())})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	if s.MaxTurns > c.MaxTurns {
		problems = append(problems, Problem{"maxTurns", fmt.Sprintf("must be at most %d, the maximum of the runtime %q", c.MaxTurns, runtime)})
	}
	for _, name := range c.ReservedEnv {
		if _, set := s.Env[name]; set {
			problems = append(problems, Problem{"env." + name, fmt.Sprintf("is set by the runtime %q", runtime)})
		}
	}
	return problems
}

func (c Capabilities) supported() string {
	if len(c.Settings) == 0 {
		return "none of these settings"
	}
	names := make([]string, len(c.Settings))
	for i, s := range c.Settings {
		names[i] = string(s)
	}
	return strings.Join(names, ", ")
}
