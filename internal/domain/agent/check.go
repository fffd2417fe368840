package agent

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the settings. MaxSettingsBytes bounds them together: with the agent's texts they fit into one document of
// Firestore, which holds 1 MiB.
const (
	MaxSettingsBytes    = 768 << 10
	MaxSchemaBytes      = 64 << 10
	MaxTurns            = 1000
	MaxEnvVariables     = 64
	MaxEnvNameBytes     = 128
	MaxEnvValueBytes    = 8 << 10
	MaxToolRules        = 100 // in each list
	MaxToolRuleBytes    = 512
	MaxMCPServers       = 16
	MaxMCPCommandBytes  = 1 << 10
	MaxMCPArgs          = 64
	MaxMCPArgBytes      = 8 << 10
	MaxSkills           = 32
	MaxSkillFiles       = 200 // of all skills
	MaxSkillPathBytes   = 512
	maxPathElementBytes = 255
)

// Problem says what is wrong with a field. Field is the field's name in the API, such as mcpServers.0.command.
type Problem struct{ Field, Detail string }

type problems []Problem

func (p *problems) add(field, format string, args ...any) {
	*p = append(*p, Problem{field, fmt.Sprintf(format, args...)})
}

var (
	envName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	skillName  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	serverName = regexp.MustCompile(`^[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*$`)
	toolRule   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_*-]*(\([^\p{C}]+\))?$`)
)

const maxServerName = 32 // letters; names of tools have at most 64, with that of their server

// Check returns what is wrong with the settings, whatever the runtime. It does not read the schema: see package
// answerschema.
func (s Settings) Check() []Problem {
	var p problems
	if len(s.Schema) > MaxSchemaBytes {
		p.add("schema", "has %d bytes; at most %d are accepted", len(s.Schema), MaxSchemaBytes)
	}
	if s.MaxTurns < 0 || s.MaxTurns > MaxTurns {
		p.add("maxTurns", "must be from 1 to %d", MaxTurns)
	}
	if s.Effort != "" && !slices.Contains(Efforts, s.Effort) {
		p.add("effort", "must be one of %v", Efforts)
	}
	p.checkEnv("env", s.Env, true)
	p.checkTools("tools.allowed", s.Tools.Allowed)
	p.checkTools("tools.denied", s.Tools.Denied)
	p.checkServers(s.MCPServers)
	p.checkSkills(s.Skills)
	if len(p) == 0 && s.Size() > MaxSettingsBytes {
		p.add("skills", "schema, env, tools, mcpServers and skills have %d bytes together; at most %d are accepted", s.Size(), MaxSettingsBytes)
	}
	return p
}

// CheckEnv returns what is wrong with the variables of a sandbox. Field is their name in the API.
func CheckEnv(field string, env map[string]string) []Problem {
	var p problems
	p.checkEnv(field, env, true)
	return p
}

// checkEnv checks the variables of the agent, or of a program that it starts. Only the agent has reserved ones.
func (p *problems) checkEnv(field string, env map[string]string, ofAgent bool) {
	if len(env) > MaxEnvVariables {
		p.add(field, "has %d variables; at most %d are accepted", len(env), MaxEnvVariables)
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		switch {
		case !envName.MatchString(name) || len(name) > MaxEnvNameBytes:
			p.add(field, "%q is not the name of a variable: letters, digits and _, at most %d, no digit first", name, MaxEnvNameBytes)
		case ofAgent && ReservedEnv(name):
			p.add(field+"."+name, "is reserved: Airlock or the runtime sets it, or it changes how programs are loaded")
		case len(value) > MaxEnvValueBytes:
			p.add(field+"."+name, "has %d bytes; at most %d are accepted", len(value), MaxEnvValueBytes)
		case strings.ContainsRune(value, 0) || !utf8.ValidString(value):
			p.add(field+"."+name, "must be UTF-8 without NUL")
		}
	}
}

func (p *problems) checkTools(field string, rules []string) {
	if len(rules) > MaxToolRules {
		p.add(field, "has %d rules; at most %d are accepted", len(rules), MaxToolRules)
	}
	for i, rule := range rules {
		if !toolRule.MatchString(rule) || len(rule) > MaxToolRuleBytes {
			p.add(fmt.Sprintf("%s.%d", field, i), "must be a tool such as Read, a use of it such as Bash(git *), or "+
				"mcp__server or mcp__server__tool; at most %d bytes", MaxToolRuleBytes)
		}
	}
}

func (p *problems) checkServers(servers []MCPServer) {
	if len(servers) > MaxMCPServers {
		p.add("mcpServers", "has %d servers; at most %d are accepted", len(servers), MaxMCPServers)
	}
	seen := map[string]bool{}
	for i, server := range servers {
		field := fmt.Sprintf("mcpServers.%d", i)
		switch {
		case !serverName.MatchString(server.Name) || len(server.Name) > maxServerName:
			p.add(field+".name", "must be 1 to %d letters, digits, - and _, without __", maxServerName)
		case seen[server.Name]:
			p.add(field+".name", "is repeated")
		}
		seen[server.Name] = true
		p.checkArgument(field+".command", server.Command, MaxMCPCommandBytes)
		if strings.TrimSpace(server.Command) == "" {
			p.add(field+".command", "must name a program")
		}
		if len(server.Args) > MaxMCPArgs {
			p.add(field+".args", "has %d arguments; at most %d are accepted", len(server.Args), MaxMCPArgs)
		}
		for j, arg := range server.Args {
			p.checkArgument(fmt.Sprintf("%s.args.%d", field, j), arg, MaxMCPArgBytes)
		}
		p.checkEnv(field+".env", server.Env, false)
	}
}

func (p *problems) checkArgument(field, text string, maxBytes int) {
	switch {
	case len(text) > maxBytes:
		p.add(field, "has %d bytes; at most %d are accepted", len(text), maxBytes)
	case strings.ContainsRune(text, 0) || !utf8.ValidString(text):
		p.add(field, "must be UTF-8 without NUL")
	}
}

func (p *problems) checkSkills(skills []Skill) {
	if len(skills) > MaxSkills {
		p.add("skills", "has %d skills; at most %d are accepted", len(skills), MaxSkills)
	}
	files, seen := 0, map[string]bool{}
	for i, skill := range skills {
		field := fmt.Sprintf("skills.%d", i)
		switch {
		case !skillName.MatchString(skill.Name):
			p.add(field+".name", "must be 1 to 63 lower-case letters, digits and -")
		case seen[skill.Name]:
			p.add(field+".name", "is repeated")
		}
		seen[skill.Name] = true
		files += len(skill.Files)
		p.checkSkillFiles(field+".files", skill.Files)
	}
	if files > MaxSkillFiles {
		p.add("skills", "have %d files; at most %d are accepted", files, MaxSkillFiles)
	}
}

func (p *problems) checkSkillFiles(field string, files []SkillFile) {
	paths := map[string]bool{}
	for i, f := range files {
		pathField := fmt.Sprintf("%s.%d.path", field, i)
		if reason := CheckFilePath(f.Path, MaxSkillPathBytes); reason != "" {
			p.add(pathField, "%s", reason)
		} else if paths[f.Path] {
			p.add(pathField, "is repeated")
		}
		paths[f.Path] = true
		if f.Path == SkillMain && (strings.TrimSpace(string(f.Data)) == "" || !utf8.Valid(f.Data)) {
			p.add(fmt.Sprintf("%s.%d.content", field, i), "must be text: it says when to use the skill, and how")
		}
	}
	for i, f := range files {
		for dir := path.Dir(f.Path); dir != "." && dir != "/"; dir = path.Dir(dir) {
			if paths[dir] {
				p.add(fmt.Sprintf("%s.%d.path", field, i), "is below %q, which is a file", dir)
			}
		}
	}
	if !paths[SkillMain] {
		p.add(field, "must have the file %s", SkillMain)
	}
}

// CheckFilePath says why a path cannot be that of a file below a folder of the sandbox; empty if it can.
func CheckFilePath(p string, maxBytes int) string {
	switch {
	case !fs.ValidPath(p) || p == ".":
		return "must be a relative path such as data/input.csv, without . and .. and empty parts"
	case len(p) > maxBytes:
		return fmt.Sprintf("has %d bytes; at most %d are accepted", len(p), maxBytes)
	case strings.ContainsFunc(p, unicode.IsControl):
		return "must not contain control characters"
	}
	for element := range strings.SplitSeq(p, "/") {
		if len(element) > maxPathElementBytes {
			return fmt.Sprintf("must not have a part of more than %d bytes", maxPathElementBytes)
		}
	}
	return ""
}
