package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

const allSettings = `"schema":{"type":"object","properties":{"city":{"type":["string","null"],"default":null}}},"maxTurns":5,"effort":"high",
	"env":{"CITY":"Bern"},"tools":{"allowed":["Read","Bash(git *)"],"denied":["mcp__weather__history"]},
	"mcpServers":[{"name":"weather","command":"python3","args":["server.py"],"env":{"PATH":"/opt"}}],
	"skills":[{"name":"weather","files":[{"path":"SKILL.md","content":"Say it."},{"path":"data/a.bin","content":"//4=","encoding":"base64"}]}]`

func agentBody(settings string) string {
	return `{"name":"A","instructions":"i","runtime":"claude",` + settings + `}`
}

func TestAgentSettingsAreKept(t *testing.T) {
	s := startServer(t)
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, agentBody(allSettings), headerIdempotencyKey, "k")
	require.Equal(t, 1, a.Version)
	require.True(t, a.HasSettings)
	encoded, err := json.Marshal(a)
	require.NoError(t, err)
	var got, want map[string]any
	require.NoError(t, json.Unmarshal(encoded, &got))
	require.NoError(t, json.Unmarshal([]byte(agentBody(allSettings)), &want))
	for field, value := range want {
		require.Equal(t, value, got[field], field)
	}
	path := "/agents/" + a.Id
	require.Equal(t, a, call[contract.Agent](s, "GET "+path, http.StatusOK, ""))
	require.Equal(t, a, call[contract.Agent](s, "GET "+path+"/versions/1", http.StatusOK, ""))
	require.Equal(t, a, call[contract.Agent](s, "POST /agents", http.StatusCreated, agentBody(allSettings), headerIdempotencyKey, "k"), "repeated")
	listed := call[contract.AgentList](s, "GET /agents", http.StatusOK, "").Agents[0]
	require.True(t, listed.HasSettings)
	require.Empty(t, listed.Skills, "absent in lists")
	require.Equal(t, a, call[contract.Agent](s, "PATCH "+path, http.StatusOK, agentBody(allSettings)), "nothing changes")
}

func TestPatchOfSettings(t *testing.T) {
	s := startServer(t)
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, agentBody(allSettings))
	path := "/agents/" + a.Id
	patched := call[contract.Agent](s, "PATCH "+path, http.StatusOK,
		`{"version":1,"schema":{"type":"object","const":null},"env":{"CITY":null,"DAY":"1"},"tools":{"denied":null},"mcpServers":null,"effort":null}`)
	require.Equal(t, 2, patched.Version)
	require.JSONEq(t, `{"type":"object","const":null}`, string(patched.Schema), "replaced, and its null is kept")
	require.Equal(t, contract.Env{"DAY": "1"}, patched.Env)
	require.Equal(t, contract.Tools{Allowed: a.Tools.Allowed}, patched.Tools)
	require.Empty(t, patched.McpServers)
	require.Empty(t, patched.Effort)
	require.Equal(t, a.Skills, patched.Skills)

	conflict := call[contract.Problem](s, "PATCH "+path, http.StatusConflict, `{"version":1,"name":"other"}`)
	require.Equal(t, contract.ProblemVersionConflict, conflict.Code)
	require.Equal(t, patched, call[contract.Agent](s, "PATCH "+path, http.StatusOK, `{"version":1,"effort":null}`), "it is so already")

	cleared := call[contract.Agent](s, "PATCH "+path, http.StatusOK,
		`{"schema":null,"maxTurns":null,"env":null,"tools":null,"skills":[],"runtime":"offline"}`)
	require.False(t, cleared.HasSettings)
	require.Empty(t, cleared.Schema)
	versions := call[contract.AgentVersionList](s, "GET "+path+"/versions?limit=2", http.StatusOK, "")
	require.Equal(t, []int{3, 2}, []int{versions.Versions[0].Version, versions.Versions[1].Version})
	require.Equal(t, []string{"runtime", "schema", "maxTurns", "env", "tools", "skills"}, versions.Versions[0].Changed)
	require.Equal(t, cleared.UpdatedAt, versions.Versions[0].CreatedAt)
	last := call[contract.AgentVersionList](s, "GET "+path+"/versions?limit=2&cursor="+versions.NextCursor, http.StatusOK, "")
	require.Len(t, last.Versions, 1)
	require.Empty(t, last.Versions[0].Changed)
	require.Empty(t, last.NextCursor)
	require.Equal(t, a, call[contract.Agent](s, "GET "+last.Versions[0].Urls.Self, http.StatusOK, ""))
	for _, missing := range []string{"0", "4", "-1", "01", "x", "99999999999999999999"} {
		p := call[contract.Problem](s, "GET "+path+"/versions/"+missing, http.StatusNotFound, "")
		require.Contains(t, p.Detail, "no agent version")
	}
}

func TestRunsNameTheirVersion(t *testing.T) {
	s := startServer(t)
	a := s.createAgent()
	call[contract.Agent](s, "PATCH /agents/"+a.Id, http.StatusOK, `{"instructions":"other"}`)
	versionOf := func(accepted contract.AcceptedExecution) int {
		return call[contract.Execution](s, "GET "+accepted.Urls.Self, http.StatusOK, "").AgentVersion
	}
	require.Equal(t, 2, versionOf(s.runAgent(a.Id)))
	require.Equal(t, 1, versionOf(call[contract.AcceptedExecution](s, "POST /agents/"+a.Id+"/run", http.StatusAccepted, `{"input":"x","agentVersion":1}`)))
	first := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"x","agentId":"`+a.Id+`","agentVersion":1}`)
	require.Equal(t, 1, versionOf(first))
	next := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"x","conversationId":"`+first.ConversationId+`"}`)
	require.Equal(t, 2, versionOf(next), "each message has its version")
	b := call[contract.Batch](s, "POST /agents/"+a.Id+"/batches?agentVersion=1", http.StatusAccepted, `"x"`, "Content-Type", mediaTypeJSONLines)
	require.Equal(t, 1, b.AgentVersion)
	for route, body := range map[string]string{
		"POST /agents/" + a.Id + "/run":                    `{"input":"x","agentVersion":3}`,
		"POST /agents/" + a.Id + "/batches?agentVersion=3": `"x"`,
		"POST /api/conversation":                           `{"message":"x","agentId":"` + a.Id + `","agentVersion":3}`,
		"POST /api/conversation?":                          `{"message":"x","agentVersion":3}`,
	} {
		contentType := "application/json"
		if strings.Contains(route, "batches") {
			contentType = mediaTypeJSONLines
		}
		require.Contains(t, call[contract.Problem](s, route, http.StatusNotFound, body, "Content-Type", contentType).Detail, `no agent version "3"`)
	}
	for _, bad := range []string{"0", "-1", `"1"`, "1.5"} {
		call[contract.Problem](s, "POST /agents/"+a.Id+"/run", http.StatusBadRequest, `{"input":"x","agentVersion":`+bad+`}`)
	}
}

func TestAgentSettingsAreChecked(t *testing.T) {
	s := startServer(t)
	skill := func(name, path, content string) string {
		return `"skills":[{"name":"` + name + `","files":[{"path":"SKILL.md","content":"x"},{"path":"` + path + `","content":` + content + `}]}]`
	}
	many := func(n int, element string) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	env := make([]string, agent.MaxEnvVariables+1)
	for i := range env {
		env[i] = fmt.Sprintf(`"V%d":""`, i)
	}
	for settings, field := range map[string]string{
		`"schema":[]`:                           "schema",
		`"schema":{"type":"text"}`:              "schema",
		`"schema":{"$ref":"https://x.example"}`: "schema",
		`"schema":{"description":"` + strings.Repeat("x", agent.MaxSchemaBytes) + `"}`: "schema",
		`"maxTurns":0`: "maxTurns", `"maxTurns":51`: "maxTurns", `"maxTurns":1001`: "maxTurns",
		`"effort":"extreme"`: "effort", `"effort":""`: "effort",
		`"env":{"PATH":"x"}`: "env.PATH", `"env":{"Ld_Preload":"x"}`: "env.Ld_Preload", `"env":{"ANTHROPIC_BASE_URL":"x"}`: "env.ANTHROPIC_BASE_URL",
		`"env":{"AIRLOCK_MODEL":"x"}`: "env.AIRLOCK_MODEL", `"env":{"NODE_OPTIONS":"x"}`: "env.NODE_OPTIONS", `"env":{"https_proxy":"x"}`: "env.https_proxy",
		`"env":{"SET_BY_THE_RUNTIME":"x"}`: "env.SET_BY_THE_RUNTIME", `"env":{"A=B":"x"}`: "env", `"env":{"":"x"}`: "env", `"env":{"1A":"x"}`: "env",
		`"env":{"A":"\u0000"}`: "env.A", `"env":{"A":1}`: "env.A", `"env":{` + strings.Join(env, ",") + `}`: "env",
		`"env":{"A":"` + strings.Repeat("x", agent.MaxEnvValueBytes+1) + `"}`: "env.A",
		`"tools":{"allowed":["--model x"]}`:                                   "tools.allowed.0", `"tools":{"denied":["Bash(a"]}`: "tools.denied.0", `"tools":{"denied":["Bash(a\nb)"]}`: "tools.denied.0",
		`"tools":{"denied":[""]}`: "tools.denied.0", `"tools":{"other":[]}`: "tools.other",
		`"tools":{"allowed":[]}`:                            "tools.allowed",
		`"tools":{"allowed":[` + many(101, `"Read"`) + `]}`: "tools.allowed",
		`"mcpServers":[{"name":"a__b","command":"x"}]`:      "mcpServers.0.name", `"mcpServers":[{"name":"a b","command":"x"}]`: "mcpServers.0.name",
		`"mcpServers":[{"name":"a","command":" "}]`: "mcpServers.0.command", `"mcpServers":[{"name":"a","command":"x"},{"name":"a","command":"x"}]`: "mcpServers.1.name",
		`"mcpServers":[{"name":"a","command":"x","args":["\u0000"]}]`: "mcpServers.0.args.0", `"mcpServers":[{"name":"a","command":"x","env":{"A B":""}}]`: "mcpServers.0.env",
		`"mcpServers":[{"name":"a","url":"https://x.example"}]`: "mcpServers.0.url", `"mcpServers":[` + many(17, `{"name":"a","command":"x"}`) + `]`: "mcpServers",
		skill("Weather", "a", `""`): "skills.0.name", skill("../x", "a", `""`): "skills.0.name", skill("a", "../x", `""`): "skills.0.files.1.path",
		skill("a", "/etc/passwd", `""`): "skills.0.files.1.path", skill("a", "SKILL.md", `"y"`): "skills.0.files.1.path", skill("a", "SKILL.md/x", `""`): "skills.0.files.1.path",
		skill("a", "x", `"y","encoding":"base64"`): "skills.0.files.1.content", skill("a", "x", `"y","encoding":"hex"`): "skills.0.files.1.encoding",
		`"skills":[{"name":"a","files":[{"path":"a","content":"x"}]}]`:                             "skills.0.files",
		`"skills":[{"name":"a","files":[{"path":"SKILL.md","content":" "}]}]`:                      "skills.0.files.0.content",
		skill("a", "x", `"`+strings.Repeat("x", agent.MaxSettingsBytes)+`"`):                       "skills",
		`"skills":[{"name":"a","files":[` + many(201, `{"path":"SKILL.md","content":"x"}`) + `]}]`: "skills.0.files",
	} {
		p := call[contract.Problem](s, "POST /agents", http.StatusBadRequest, agentBody(settings))
		fields := make([]string, len(p.Errors))
		for i, e := range p.Errors {
			fields[i] = e.Field
		}
		require.Contains(t, fields, field, "%.200s: %v", settings, p.Errors)
	}
}

// A runtime that cannot give a setting to its agent says so.
func TestRuntimeRefusesSettings(t *testing.T) {
	s := startServer(t)
	p := call[contract.Problem](s, "POST /agents", http.StatusBadRequest, `{"name":"A","instructions":"i","runtime":"offline","effort":"low","env":{"A":"b"}}`)
	require.Equal(t, []contract.FieldError{
		{Field: "effort", Detail: `the runtime "offline" does not support it; it supports none of these settings`},
		{Field: "env", Detail: `the runtime "offline" does not support it; it supports none of these settings`},
	}, p.Errors)
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, agentBody(`"effort":"low"`))
	p = call[contract.Problem](s, "PATCH /agents/"+a.Id, http.StatusBadRequest, `{"runtime":"offline"}`)
	require.Equal(t, "effort", p.Errors[0].Field)
}

// Schemas that are hard to compile do not keep the API busy.
func TestHostileSchemasAreAnsweredSoon(t *testing.T) {
	s := startServer(t)
	for name, schema := range map[string]string{
		"deep":     strings.Repeat(`{"items":`, 5000) + "true" + strings.Repeat("}", 5000),
		"patterns": `{"pattern":"` + strings.Repeat("(a{999}){1}", 2000) + `"}`,
		"wide":     `{"enum":[` + strings.TrimSuffix(strings.Repeat("[{}],", 12000), ",") + `]}`,
		"loop":     `{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}`,
		"remote":   `{"$schema":"http://127.0.0.1:1/meta"}`,
	} {
		start := time.Now()
		got := s.do(http.MethodPost, "/agents", agentBody(`"schema":`+schema))
		require.Contains(t, []int{http.StatusBadRequest, http.StatusCreated}, got.StatusCode, name)
		require.Less(t, time.Since(start), 10*time.Second, name)
	}
}

// The largest settings fit into the documents, and the largest run into its own, because it only refers to them.
func TestLargestSettingsFit(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	largest := contract.CreateAgent{
		Name: text(agent.MaxNameBytes), Description: text(agent.MaxDescriptionBytes), Instructions: text(agent.MaxInstructionsBytes), Runtime: "claude",
		Schema: contract.AnswerSchema(`{"description":"` + text(agent.MaxSchemaBytes-18) + `"}`),
		Skills: []contract.Skill{{Name: "a", Files: []contract.SkillFile{{Path: "SKILL.md", Content: "x"}}}},
	}
	for i := range agent.MaxSkillFiles - 1 {
		largest.Skills[0].Files = append(largest.Skills[0].Files, contract.SkillFile{Path: fmt.Sprintf("%03d%s", i, text(200))})
	}
	settings, problems := s.agentSettings("claude", largest)
	require.Empty(t, problems)
	rest := agent.MaxSettingsBytes - settings.Size()
	largest.Skills[0].Files[1].Content = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("\xff", rest)))
	largest.Skills[0].Files[1].Encoding = "base64"
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, encode(t, largest), headerIdempotencyKey, "k")
	require.Equal(t, a, call[contract.Agent](s, "POST /agents", http.StatusCreated, encode(t, largest), headerIdempotencyKey, "k"))
	require.Equal(t, 2, call[contract.Agent](s, "PATCH /agents/"+a.Id, http.StatusOK, `{"name":"B"}`).Version)
	run := call[contract.AcceptedExecution](s, "POST /agents/"+a.Id+"/run", http.StatusAccepted, encode(t, contract.RunAgent{Input: text(execution.MaxInputBytes)}))
	e, err := s.store.Execution(t.Context(), execution.Ref{Tenant: defaultTenant, ID: run.ExecutionId})
	require.NoError(t, err)
	require.True(t, e.Task.HasSettings)
	require.True(t, e.Task.Settings.IsZero(), "they are in the version")
}
