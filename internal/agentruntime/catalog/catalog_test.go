package catalog_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
)

func TestBuiltin(t *testing.T) {
	c := catalog.Builtin()
	require.Equal(t, []string{"offline", "claude"}, c.Names())
	offline, claude := c.Runtimes[0], c.Runtimes[1]
	require.Nil(t, offline.Egress)
	require.Equal(t, "claude-sonnet-4-6", claude.Models[0])
	require.Contains(t, claude.Egress.Routes, catalog.Route{Method: "POST", Target: "/v1/messages?beta=true"})
	require.Contains(t, claude.Egress.Routes, catalog.Route{Method: "HEAD", Target: "/", Local: true})
	require.Contains(t, claude.Environment("m"), "CLAUDE_CODE_MAX_RETRIES=2")
}

const completeYAML = `
runtimes:
  - name: summarise
    image: registry.example/summarise@sha256:1234
    contract: command
    output: json
    argv: [python3, /app/main.py, "--model={model}"]
    env: {B: "2", A: "1"}
    modelEnv: [MODEL]
    models: [small, large]
    instructionsPath: /workspace/AGENTS.md
    limits: {memory: 512MiB, cpus: 0.5, pids: 64, output: 1MiB}
    maxTimeout: 5m
    conversation:
      history: stdin
      resume: {argv: [main, --resume, "{session}", "{model}"], folder: /home/agent/.main, id: '([0-9]+)\.json$'}
    idleTimeout: 30s
    egress:
      routes: [POST /v1/messages, local HEAD /]
      betas: [one]
      headers: [X-Session]
      api: responses
      upstream: {url: "https://api.openai.com", keyEnv: OPENAI_API_KEY, caFile: /ca.pem, allowPrivate: true}
      prices: {small: {input: 0.25, output: 2}}
`

func TestParseAllFields(t *testing.T) {
	c, err := catalog.Parse([]byte(completeYAML))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(catalog.Runtime{
		Name: "summarise", Image: "registry.example/summarise@sha256:1234", Contract: catalog.Command, Output: catalog.JSON,
		Argv: []string{"python3", "/app/main.py", "--model={model}"}, Env: map[string]string{"A": "1", "B": "2"},
		ModelEnv: []string{"MODEL"}, Models: []string{"small", "large"}, InstructionsPath: "/workspace/AGENTS.md",
		Limits:     catalog.Limits{Memory: 512 << 20, CPUs: 0.5, PIDs: 64, Output: 1 << 20},
		MaxTimeout: catalog.Duration(5 * time.Minute), IdleTimeout: catalog.Duration(30 * time.Second),
		Conversation: &catalog.Conversation{
			History: catalog.HistoryStdin,
			Resume:  &catalog.Resume{Argv: []string{"main", "--resume", "{session}", "{model}"}, Folder: "/home/agent/.main", ID: `([0-9]+)\.json$`},
		},
		Egress: &catalog.Egress{
			Routes: []catalog.Route{{Method: "POST", Target: "/v1/messages"}, {Method: "HEAD", Target: "/", Local: true}},
			Betas:  []string{"one"}, Headers: []string{"X-Session"},
			API:      catalog.Responses,
			Upstream: &catalog.Upstream{URL: "https://api.openai.com", KeyEnv: "OPENAI_API_KEY", CAFile: "/ca.pem", AllowPrivate: true},
			Prices:   map[string]catalog.Price{"small": {Input: 0.25, Output: 2}},
		},
	}, c.Runtimes[0]))
	require.Equal(t, []string{"python3", "/app/main.py", "--model=large"}, c.Runtimes[0].Command("large"))
	require.Equal(t, []string{"main", "--resume", "7", "large"}, c.Runtimes[0].ResumeCommand("large", "7"))
	require.Equal(t, "OPENAI_API_KEY", c.Runtimes[0].KeyEnv())
	require.Equal(t, []string{"A=1", "B=2", "MODEL=m"}, c.Runtimes[0].Environment("m"))
}

// minimalYAML is a valid file to which the tests add mistakes.
const minimalYAML = "runtimes:\n- name: a\n  image: i\n  contract: command\n  argv: [x]\n"

func resumeYAML(history, argv, folder, id string) string {
	text := "  conversation:\n    history: " + history + "\n    resume:\n      argv: " + argv + "\n      folder: " + folder + "\n"
	if id != "" {
		text += "      id: '" + id + "'\n"
	}
	return text
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"empty":                     {"", "line 1: the file declares no runtimes"},
		"not YAML":                  {"runtimes: [", "yaml: line 1"},
		"a tab":                     {"runtimes:\n\t- name: a", "yaml: line 2"},
		"a list":                    {"- a", "line 1: wrong type"},
		"two documents":             {minimalYAML + "---\n" + minimalYAML, "more than one document"},
		"an unknown field":          {minimalYAML + "  imgae: y\n", "line 6: unknown field imgae; known fields: name, image, contract, argv,"},
		"an unknown field above":    {"version: 1\n" + minimalYAML, "line 1: unknown field version; known fields: runtimes"},
		"an unknown field below":    {minimalYAML + "  limits:\n    ram: 1GiB\n", "line 7: unknown field ram; known fields: memory, cpus, pids, output"},
		"a duplicate field":         {minimalYAML + "  image: y\n", "line 6: "},
		"a wrong type":              {minimalYAML + "  models: small\n", "line 6: wrong type"},
		"no name":                   {strings.Replace(minimalYAML, "name: a", "output: text", 1), "line 2: name must be"},
		"a name with a space":       {strings.Replace(minimalYAML, "name: a", "name: a b", 1), "line 2: name must be"},
		"a duplicate name":          {minimalYAML + strings.TrimPrefix(minimalYAML, "runtimes:\n"), `line 6: the name "a" is used by an earlier runtime`},
		"no image":                  {strings.Replace(minimalYAML, "image: i", "output: text", 1), "line 2: image is missing"},
		"no program":                {strings.Replace(minimalYAML, "[x]", "[]", 1), "line 5: argv must name a program"},
		"an unknown contract":       {strings.Replace(minimalYAML, "command", "grpc", 1), "line 4: contract must be stream-json or command"},
		"an unknown output":         {minimalYAML + "  output: xml\n", "line 6: output must be text or json"},
		"maxTurns of a command":     {minimalYAML + "  maxTurns: 5\n", "line 6: maxTurns is for the contract stream-json only"},
		"no maxTurns":               {strings.Replace(minimalYAML, "command", "stream-json", 1), "line 2: maxTurns must be from 1"},
		"an output of stream-json":  {strings.Replace(minimalYAML, "command", "stream-json\n  maxTurns: 1\n  output: json", 1), "line 6: output is for the contract command only"},
		"a placeholder, no models":  {strings.Replace(minimalYAML, "[x]", "[x, '{model}']", 1), "line 5: argv uses {model}, but models is empty"},
		"a duplicate model":         {minimalYAML + "  models: [m, m]\n", "line 6: models must be distinct"},
		"a variable with a dash":    {minimalYAML + "  env: {A-B: x}\n", `line 6: "A-B" is not a valid variable name`},
		"a size without a unit":     {minimalYAML + "  limits: {memory: lots}\n", `line 6: "lots" is not a size`},
		"too little memory":         {minimalYAML + "  limits: {memory: 1MiB}\n", "line 6: memory must be at least 64MiB"},
		"too much output":           {minimalYAML + "  limits: {output: 1GiB}\n", "line 6: output must be at most 64MiB"},
		"negative CPUs":             {minimalYAML + "  limits: {cpus: -1}\n", "line 6: cpus must be"},
		"a duration without unit":   {minimalYAML + "  maxTimeout: 90\n", `line 6: "90" is not a duration`},
		"too long a time-out":       {minimalYAML + "  maxTimeout: 48h\n", "line 6: maxTimeout must be from 1s to 1h"},
		"instructions in /etc":      {minimalYAML + "  instructionsPath: /etc/passwd\n", "line 6: instructionsPath must be a clean path"},
		"instructions with ..":      {minimalYAML + "  instructionsPath: /workspace/../etc/x\n", "line 6: instructionsPath must be a clean path"},
		"no way of the history":     {minimalYAML + "  conversation: {}\n", "line 6: history must be stdin or file"},
		"an unknown way":            {minimalYAML + "  conversation: {history: env}\n", "line 6: history must be stdin or file"},
		"a way of stream-json":      {strings.Replace(minimalYAML, "command", "stream-json\n  maxTurns: 1\n  conversation: {history: stdin}", 1), "line 6: conversation is for the contract command only"},
		"resume with a file":        {minimalYAML + resumeYAML("file", "[x]", "/home/agent/x", ""), "line 7: history must be stdin if the program resumes"},
		"resume without a program":  {minimalYAML + resumeYAML("stdin", "[]", "/home/agent/x", ""), "line 9: argv must name a program"},
		"resume with a model":       {minimalYAML + resumeYAML("stdin", "[x, '{model}']", "/home/agent/x", ""), "line 9: argv uses {model}, but models is empty"},
		"a session at home":         {minimalYAML + resumeYAML("stdin", "[x]", "/home/agent", ""), "line 10: folder must be a clean path"},
		"a session in the work":     {minimalYAML + resumeYAML("stdin", "[x]", "/workspace/x", ""), "line 10: folder must be a clean path"},
		"a session with ..":         {minimalYAML + resumeYAML("stdin", "[x]", "/home/agent/../x", ""), "line 10: folder must be a clean path"},
		"a session of Airlock's":    {minimalYAML + resumeYAML("stdin", "[x]", "/home/agent/.airlock/x", ""), "line 10: folder must be a clean path"},
		"instructions in a session": {minimalYAML + "  instructionsPath: /home/agent/x/y\n" + resumeYAML("stdin", "[x]", "/home/agent/x", ""), "line 11: folder must not have the file of the instructions"},
		"an ID that is no pattern":  {minimalYAML + resumeYAML("stdin", "[x, '{session}']", "/home/agent/x", "("), "line 11: id must be a regular expression with one group"},
		"an ID without a group":     {minimalYAML + resumeYAML("stdin", "[x, '{session}']", "/home/agent/x", "x"), "line 11: id must be a regular expression with one group"},
		"a session without an ID":   {minimalYAML + resumeYAML("stdin", "[x, '{session}']", "/home/agent/x", ""), "line 9: argv uses {session}, but id does not say which it is"},
		"an ID without a session":   {minimalYAML + resumeYAML("stdin", "[x]", "/home/agent/x", "(x)"), "line 11: id is given, but argv does not use {session}"},
		"an unknown field of it":    {minimalYAML + "  conversation: {resum: {}}\n", "line 6: unknown field resum; known fields: history, resume"},
		"egress without models":     {minimalYAML + "  egress: {routes: [POST /v1/messages]}\n", "line 6: egress needs at least one model"},
		"egress without routes":     {minimalYAML + "  models: [m]\n  egress: {}\n", "line 7: egress needs routes"},
		"a route without a path":    {minimalYAML + "  models: [m]\n  egress: {routes: [POST]}\n", `line 7: "POST" is not a request line`},
		"a CONNECT route":           {minimalYAML + "  models: [m]\n  egress: {routes: [CONNECT /x]}\n", "line 7: the method must be one of"},
		"a route with a host":       {minimalYAML + "  models: [m]\n  egress: {routes: ['POST https://x/y']}\n", "line 7: "},
		"a route with ..":           {minimalYAML + "  models: [m]\n  egress: {routes: [GET /v1/../x]}\n", "line 7: "},
		"a route with an escape":    {minimalYAML + "  models: [m]\n  egress: {routes: [GET /v1/%2e]}\n", "line 7: "},
		"an unknown API":            {minimalYAML + "  models: [m]\n  egress: {routes: [GET /v1], api: gemini}\n", "line 7: api must be messages or responses"},
		"responses, no upstream":    {minimalYAML + "  models: [m]\n  egress: {routes: [GET /v1], api: responses}\n", "line 7: the API responses needs an upstream"},
		"an upstream without a key": {minimalYAML + "  models: [m]\n  egress:\n    routes: [GET /v1]\n    upstream: {url: 'https://x'}\n", "line 9: keyEnv must be the name"},
		"an upstream by FTP":        {minimalYAML + "  models: [m]\n  egress:\n    routes: [GET /v1]\n    upstream: {url: 'ftp://x', keyEnv: K}\n", "line 9: url must be"},
		"a negative price":          {minimalYAML + "  models: [m]\n  egress: {routes: [GET /v1], prices: {m: {input: -1}}}\n", "line 7: prices cannot be negative"},
		"a price that is NaN":       {minimalYAML + "  models: [m]\n  egress: {routes: [GET /v1], prices: {m: {input: .nan}}}\n", "line 7: prices cannot be negative"},
		"the key as a header":       {minimalYAML + "  models: [m]\n  egress: {routes: [GET /v1], headers: [x-api-key]}\n", "line 7: the header"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.Parse([]byte(c.text))
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "catalog.", "the message contains the name of a Go type")
		})
	}
}

func TestParseReportsAllErrors(t *testing.T) {
	_, err := catalog.Parse([]byte(`
runtimes:
  - name: A
    imgae: x
    contract: grpc
    argv: []
    limits: {memory: lots, pids: -1}
`))
	require.Error(t, err)
	for _, says := range []string{
		"line 3: name must be", "line 4: unknown field imgae", "line 3: image is missing", "line 5: contract must be",
		"line 6: argv must name", `line 7: "lots" is not a size`, "line 7: pids must be",
	} {
		require.ErrorContains(t, err, says)
	}
	var lines []string
	for message := range strings.Lines(err.Error()) {
		line, _, _ := strings.Cut(message, ":")
		lines = append(lines, line)
	}
	require.True(t, slices.IsSorted(lines), "the errors are in the order of the file: %q", lines)
}

func TestParseNeverPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(completeYAML)
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
			text[at] = rapid.SampledFrom([]byte(" :-[]{}\n\"&*!|>a1\x00\xff")).Draw(t, "byte")
		}
		c, err := catalog.Parse(text)
		if err == nil {
			require.NotEmpty(t, c.Names())
		}
	})
}

func TestLoad(t *testing.T) {
	c, err := catalog.Load("")
	require.NoError(t, err)
	require.Equal(t, catalog.Builtin().Names(), c.Names())

	file := filepath.Join(t.TempDir(), "runtimes.yaml")
	_, err = catalog.Load(file)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(file, []byte(minimalYAML), 0o600))
	c, err = catalog.Load(file)
	require.NoError(t, err)
	require.Equal(t, []string{"a"}, c.Names())
	require.NoError(t, os.WriteFile(file, make([]byte, 2<<20), 0o600))
	_, err = catalog.Load(file)
	require.ErrorContains(t, err, "more than 1048576 bytes")
	require.NoError(t, os.WriteFile(file, []byte("x: 1"), 0o600))
	_, err = catalog.Load(file)
	require.ErrorContains(t, err, file)
}

// The example file of the documentation is valid.
func TestExampleFile(t *testing.T) {
	c, err := catalog.Load("../../../docs/examples/runtimes.yaml")
	require.NoError(t, err)
	require.Equal(t, []string{"offline", "word-count", "codex", "opencode", "qwen"}, c.Names())
	require.Contains(t, c.Runtimes[2].Command("m"), "--model=m")
}

// docs/runtimes.md names every field of the file.
func TestEveryFieldIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../docs/runtimes.md")
	require.NoError(t, err)
	for _, typ := range []reflect.Type{
		reflect.TypeFor[catalog.Runtime](), reflect.TypeFor[catalog.Limits](), reflect.TypeFor[catalog.Conversation](), reflect.TypeFor[catalog.Resume](), reflect.TypeFor[catalog.Egress](), reflect.TypeFor[catalog.Upstream](),
	} {
		for i := range typ.NumField() {
			name := typ.Field(i).Tag.Get("yaml")
			named := slices.ContainsFunc([]string{"", "egress.", "conversation.", "resume."}, func(parent string) bool {
				return strings.Contains(string(page), "`"+parent+name+"`")
			})
			require.True(t, named, name)
		}
	}
}
