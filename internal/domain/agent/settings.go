package agent

import (
	"encoding/json"
	"reflect"
)

// Settings are what an agent gives to the program that runs it, besides instructions and model. An empty field is the
// runtime's default. Not every runtime supports every field: see Capabilities.
type Settings struct {
	// Schema is the JSON Schema of the answer, a compact JSON object; empty: the answer is text.
	Schema   string `firestore:"schema,omitempty"`
	MaxTurns int    `firestore:"maxTurns,omitempty"` // requests to the model in one run; 0: the runtime's maximum
	Effort   Effort `firestore:"effort,omitempty"`   // empty: the model's default

	Env        map[string]string `firestore:"env,omitempty"` // variables of the agent and of what it starts
	Tools      Tools             `firestore:"tools,omitzero"`
	MCPServers []MCPServer       `firestore:"mcpServers,omitempty"`
	Skills     []Skill           `firestore:"skills,omitempty"`
}

// IsZero reports whether nothing is set.
func (s Settings) IsZero() bool { return reflect.ValueOf(s).IsZero() }

// Effort is how much a model thinks.
type Effort string

// Efforts are the levels of Effort, the lowest first.
var Efforts = []Effort{"low", "medium", "high", "xhigh", "max"}

// Tools say which tools the agent may use. A rule is the name of a tool, such as Read, with a pattern if only some of
// its uses are meant, such as Bash(git *); or mcp__server or mcp__server__tool.
type Tools struct {
	Allowed []string `firestore:"allowed,omitempty"` // empty: all that the runtime has
	Denied  []string `firestore:"denied,omitempty"`  // also if Allowed has them
}

// MCPServer is a program that runs in the sandbox and speaks the Model Context Protocol on its standard streams.
type MCPServer struct {
	Name    string            `firestore:"name"` // unique in the agent
	Command string            `firestore:"command"`
	Args    []string          `firestore:"args,omitempty"`
	Env     map[string]string `firestore:"env,omitempty"`
}

// Skill is a folder of files. Its SKILL.md says what the skill is for and what to do.
type Skill struct {
	Name  string      `firestore:"name"` // unique in the agent
	Files []SkillFile `firestore:"files"`
}

// SkillFile is a file of a skill. Path is relative to the folder of the skill.
type SkillFile struct {
	Path string `firestore:"path"`
	Data []byte `firestore:"data"`
}

// SkillMain is the file that each skill has.
const SkillMain = "SKILL.md"

// Size is what the settings need of a document, in bytes.
func (s Settings) Size() int {
	size := 0
	for _, skill := range s.Skills {
		for _, f := range skill.Files {
			size += len(f.Path) + len(f.Data)
		}
	}
	s.Skills = nil
	rest, err := json.Marshal(s)
	if err != nil {
		panic(err) // maps and lists of text can be encoded
	}
	return size + len(rest)
}
