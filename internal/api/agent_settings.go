package api

import (
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/airlock-run/airlock/internal/answerschema"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
)

// agentSettings reads the settings of an agent and reports every wrong one: also those that the runtime cannot give to
// its agent.
func (s *Server) agentSettings(runtime string, body contract.CreateAgent) (agent.Settings, []contract.FieldError) {
	settings := agent.Settings{
		MaxTurns: body.MaxTurns, Effort: agent.Effort(body.Effort), Env: orNil(body.Env),
		Tools: agent.Tools{Allowed: readRules(body.Tools.Allowed), Denied: readRules(body.Tools.Denied)},
	}
	for _, server := range body.McpServers {
		settings.MCPServers = append(settings.MCPServers, agent.MCPServer{
			Name: server.Name, Command: server.Command, Args: orNilList(server.Args), Env: orNil(server.Env),
		})
	}
	var fieldErrors []contract.FieldError
	settings.Skills, fieldErrors = readSkills(body.Skills)
	schema, err := readSchema(body.Schema)
	if err != nil {
		fieldErrors = append(fieldErrors, fieldError("schema", err.Error()))
	}
	settings.Schema = schema
	problems := settings.Check()
	if s.hasRuntime(runtime) {
		problems = append(problems, s.config.Capabilities[runtime].Check(runtime, settings)...)
	}
	for _, p := range problems {
		fieldErrors = append(fieldErrors, fieldError(p.Field, p.Detail))
	}
	return settings, fieldErrors
}

// readSchema returns the compact text of a schema that compiles.
func readSchema(text contract.AnswerSchema) (string, error) {
	if len(text) == 0 || string(text) == "null" {
		return "", nil
	}
	value := jsontext.Value(text).Clone()
	if err := value.Compact(); err != nil {
		return "", err
	}
	if _, err := answerschema.Compile(string(value)); err != nil {
		return "", err
	}
	return string(value), nil
}

func readRules(rules []contract.ToolRule) []string { return orNilList(rules) }

func readSkills(skills []contract.Skill) ([]agent.Skill, []contract.FieldError) {
	var (
		read        []agent.Skill
		fieldErrors []contract.FieldError
	)
	for i, skill := range skills {
		files := make([]agent.SkillFile, len(skill.Files))
		for j, f := range skill.Files {
			data := []byte(f.Content)
			if f.Encoding == encodingBase64 {
				var err error
				if data, err = base64.StdEncoding.DecodeString(f.Content); err != nil {
					fieldErrors = append(fieldErrors, fieldError(fmt.Sprintf("skills.%d.files.%d.content", i, j), "is not base64"))
				}
			}
			files[j] = agent.SkillFile{Path: f.Path, Data: data}
		}
		read = append(read, agent.Skill{Name: skill.Name, Files: files})
	}
	return read, fieldErrors
}

// checkSkillRules rejects a skill with a text that a rule of the operator denies.
func (s *Server) checkSkillRules(skills []agent.Skill) error {
	for i, skill := range skills {
		for j, f := range skill.Files {
			if err := s.checkRules(fmt.Sprintf("skills.%d.files.%d.content", i, j), string(f.Data)); err != nil {
				return err
			}
		}
	}
	return nil
}

const encodingBase64 = string(contract.Base64)

// addSettings adds the settings of an agent to its view.
func addSettings(v *contract.Agent, settings agent.Settings) {
	if settings.Schema != "" {
		v.Schema = contract.AnswerSchema(settings.Schema)
	}
	v.MaxTurns, v.Effort, v.Env = settings.MaxTurns, contract.Effort(settings.Effort), settings.Env
	v.Tools = contract.Tools{Allowed: settings.Tools.Allowed, Denied: settings.Tools.Denied}
	for _, server := range settings.MCPServers {
		v.McpServers = append(v.McpServers, contract.MCPServer{Name: server.Name, Command: server.Command, Args: server.Args, Env: server.Env})
	}
	for _, skill := range settings.Skills {
		v.Skills = append(v.Skills, contract.Skill{Name: skill.Name, Files: viewAll(skill.Files, viewSkillFile)})
	}
}

// viewSkillFile shows a file as text if it is one.
func viewSkillFile(f agent.SkillFile) contract.SkillFile {
	if utf8.Valid(f.Data) {
		return contract.SkillFile{Path: f.Path, Content: string(f.Data)}
	}
	return contract.SkillFile{Path: f.Path, Content: base64.StdEncoding.EncodeToString(f.Data), Encoding: encodingBase64}
}

// orNil returns nil for an empty map, so that equal settings are equal.
func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

func orNilList[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}
