package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/airlock-run/airlock/client"
)

// settingFlags are the flags of the settings of an agent. Those that are lists of objects are read from a file.
func settingFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("from", "", "file with fields of the agent, in JSON or YAML; - reads standard input; other flags take precedence")
	f.String("schema", "", "file with the JSON Schema of the answer")
	f.Int("max-turns", 0, "requests to the model in one run")
	f.String("effort", "", "how much the model thinks: low, medium, high, xhigh, max")
	f.StringToString("env", nil, "variables of the agent, as name=value; may be repeated")
	f.StringArray("allow-tool", nil, "a tool that the agent may use, such as Read or 'Bash(git *)', and no other; may be repeated")
	f.StringArray("deny-tool", nil, "a tool that the agent may not use; may be repeated")
	f.StringArray("skill", nil, "folder of a skill, with SKILL.md; replaces all skills; may be repeated")
}

// readSettings returns the fields of the file that --from names, and of the flags of settings that are set.
func readSettings(cmd *cobra.Command) (client.Patch, error) {
	f := cmd.Flags()
	file, _ := f.GetString("from") // no error: the types are those of the flags
	fields, err := readFields(cmd, file)
	if err != nil {
		return nil, err
	}
	if f.Changed("schema") {
		if fields["schema"], err = readSchema(cmd); err != nil {
			return nil, err
		}
	}
	if f.Changed("max-turns") {
		n, _ := f.GetInt("max-turns")
		fields["maxTurns"] = nilIfZero(n)
	}
	if f.Changed("effort") {
		effort, _ := f.GetString("effort")
		fields["effort"] = nilIfZero(effort)
	}
	if f.Changed("env") {
		env, _ := f.GetStringToString("env")
		fields["env"] = env
	}
	tools, _ := fields["tools"].(map[string]any)
	for flag, list := range map[string]string{"allow-tool": "allowed", "deny-tool": "denied"} {
		if f.Changed(flag) {
			if tools == nil {
				tools = map[string]any{}
			}
			rules, _ := f.GetStringArray(flag)
			tools[list] = slices.DeleteFunc(rules, func(rule string) bool { return rule == "" })
			fields["tools"] = tools
		}
	}
	if f.Changed("skill") {
		folders, _ := f.GetStringArray("skill")
		if fields["skills"], err = readSkills(folders); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// readFields reads a file of fields. It leaves out those that no request can set, so that the output of "agents get
// --json" is such a file.
func readFields(cmd *cobra.Command, file string) (client.Patch, error) {
	fields := client.Patch{}
	if file == "" {
		return fields, nil
	}
	var (
		data []byte
		err  error
	)
	if file == "-" {
		data, err = io.ReadAll(cmd.InOrStdin())
	} else {
		data, err = os.ReadFile(file)
	}
	if err == nil {
		err = yaml.UnmarshalStrict(data, &fields)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: --from: %w", errUsage, err)
	}
	maps.DeleteFunc(fields, func(name string, _ any) bool { return slices.Contains(readOnlyFields, name) })
	return fields, nil
}

// readSchema returns the content of the file that --schema names; nil if it names none.
func readSchema(cmd *cobra.Command) (any, error) {
	file, _ := cmd.Flags().GetString("schema")
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err == nil && !json.Valid(data) {
		err = errors.New("the file is not JSON")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: --schema: %w", errUsage, err)
	}
	return json.RawMessage(data), nil
}

// readSkills reads folders of this machine as skills. The name of a skill is that of its folder. Links are not
// followed.
func readSkills(folders []string) ([]client.Skill, error) {
	skills := []client.Skill{}
	for _, folder := range folders {
		if folder == "" {
			continue
		}
		absolute, err := filepath.Abs(folder)
		if err != nil {
			return nil, err
		}
		skill := client.Skill{Name: filepath.Base(absolute)}
		err = fs.WalkDir(os.DirFS(absolute), ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(filepath.Join(absolute, filepath.FromSlash(name)))
			f := client.SkillFile{Path: name, Content: string(data)}
			if !utf8.Valid(data) {
				f.Content, f.Encoding = base64.StdEncoding.EncodeToString(data), string(client.Base64)
			}
			skill.Files = append(skill.Files, f)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%w: --skill: %w", errUsage, err)
		}
		skills = append(skills, skill)
	}
	return skills, nil
}

// newAgent returns the request that creates an agent with these fields. A field that is nil has its default.
func newAgent(fields client.Patch) (a client.CreateAgent, err error) {
	encoded, err := json.Marshal(withoutNil(map[string]any(fields)))
	if err != nil {
		return a, err
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.DisallowUnknownFields()
	return a, decoder.Decode(&a)
}

func withoutNil(fields map[string]any) map[string]any {
	set := map[string]any{}
	for name, value := range fields {
		switch value := value.(type) {
		case nil:
		case client.Patch:
			set[name] = withoutNil(value)
		default:
			set[name] = value
		}
	}
	return set
}

// showSettings prints the settings of an agent in one line each.
func showSettings(out io.Writer, a client.Agent) {
	if a.MaxTurns > 0 {
		writeField(out, "Max turns", strconv.Itoa(a.MaxTurns))
	}
	writeField(out, "Effort", string(a.Effort))
	writeField(out, "Env", strings.Join(slices.Sorted(maps.Keys(a.Env)), ", "))
	writeField(out, "Allowed tools", strings.Join(a.Tools.Allowed, ", "))
	writeField(out, "Denied tools", strings.Join(a.Tools.Denied, ", "))
	var servers, skills []string
	for _, server := range a.McpServers {
		servers = append(servers, server.Name)
	}
	for _, skill := range a.Skills {
		skills = append(skills, fmt.Sprintf("%s (%d files)", skill.Name, len(skill.Files)))
	}
	writeField(out, "MCP servers", strings.Join(servers, ", "))
	writeField(out, "Skills", strings.Join(skills, ", "))
	if len(a.Schema) > 0 {
		writeField(out, "Schema", truncate(string(a.Schema)))
	}
}
