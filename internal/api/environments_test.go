package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// withEgressHosts is the operator's list of a test server.
func withEgressHosts(hosts ...string) func(*Config, *store.Store) {
	return func(c *Config, _ *store.Store) {
		ceiling, err := environment.ParseCeiling(hosts)
		if err != nil {
			panic(err)
		}
		c.EgressHosts = ceiling
	}
}

func (s server) createEnvironment(body string, header ...string) contract.Environment {
	s.t.Helper()
	return call[contract.Environment](s, "POST /environments", http.StatusCreated, body, header...)
}

func TestEnvironmentIsCreatedChangedAndDeleted(t *testing.T) {
	s := startServer(t, withEgressHosts("*.example.com", "*.example.org:8443"))
	e := s.createEnvironment(`{"name":"E","description":"d","variables":{"STAGE":"test","A":"b"},
		"network":{"mode":"limited","hosts":["API.example.com","api.example.com","*.example.org:8443"]}}`)
	require.True(t, id.Valid(id.Environment, e.Id))
	require.Equal(t, contract.Network{Mode: contract.NetworkLimited, Hosts: []string{"api.example.com", "*.example.org:8443"}}, e.Network)
	path := "/environments/" + e.Id
	got := s.do(http.MethodGet, path, "")
	require.Equal(t, e, call[contract.Environment](s, "GET "+path, http.StatusOK, ""))
	require.Equal(t, http.StatusNotModified, s.do(http.MethodGet, path, "", "If-None-Match", got.Header.Get("ETag")).StatusCode)

	changed := call[contract.Environment](s, "PATCH "+path, http.StatusOK, `{"version":1,"description":null,"variables":{"A":null,"C":"d"},"network":{"hosts":["www.example.com"]}}`)
	want := e
	want.Version, want.UpdatedAt, want.Description, want.Variables = 2, changed.UpdatedAt, "", map[string]string{"STAGE": "test", "C": "d"}
	want.Network.Hosts = []string{"www.example.com"}
	require.Equal(t, want, changed)
	require.Equal(t, changed, call[contract.Environment](s, "PATCH "+path, http.StatusOK, `{"version":1,"name":"E"}`), "it is so already")
	conflict := call[contract.Problem](s, "PATCH "+path, http.StatusConflict, `{"version":1,"name":"F"}`)
	require.Equal(t, contract.ProblemVersionConflict, conflict.Code)
	require.Equal(t, "The environment has version 2; this change is based on version 1. Read the environment and change it again.", conflict.Detail)
	closed := call[contract.Environment](s, "PATCH "+path, http.StatusOK, `{"network":null,"variables":null}`)
	require.Equal(t, contract.Network{Mode: contract.NetworkNone}, closed.Network)
	require.Empty(t, closed.Variables)

	versions := call[contract.EnvironmentVersionList](s, "GET "+path+"/versions?limit=2", http.StatusOK, "")
	require.Equal(t, []string{"network", "variables"}, versions.Versions[0].Changed)
	require.Equal(t, []string{"description", "network", "variables"}, versions.Versions[1].Changed)
	last := call[contract.EnvironmentVersionList](s, "GET "+path+"/versions?limit=2&cursor="+versions.NextCursor, http.StatusOK, "")
	require.Len(t, last.Versions, 1)
	require.Equal(t, e, call[contract.Environment](s, "GET "+last.Versions[0].Urls.Self, http.StatusOK, ""))
	for _, missing := range []string{"0", "4", "01", "x"} {
		require.Contains(t, call[contract.Problem](s, "GET "+path+"/versions/"+missing, http.StatusNotFound, "").Detail, "no environment version")
	}

	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, path, "").StatusCode)
	for _, gone := range []string{path, path + "/versions", path + "/versions/1"} {
		require.Contains(t, call[contract.Problem](s, "GET "+gone, http.StatusNotFound, "").Detail, "no environment")
	}
}

func TestEnvironmentsAreListedAndCreatedOnce(t *testing.T) {
	s := startServer(t)
	first := s.createEnvironment(`{"name":"A"}`, headerIdempotencyKey, "k")
	require.Equal(t, first, s.createEnvironment(`{"name":"A"}`, headerIdempotencyKey, "k"))
	call[contract.Problem](s, "POST /environments", http.StatusUnprocessableEntity, `{"name":"B"}`, headerIdempotencyKey, "k")
	second := s.createEnvironment(`{"name":"B"}`)
	page := call[contract.EnvironmentList](s, "GET /environments?limit=1", http.StatusOK, "")
	require.Equal(t, []contract.Environment{second}, page.Environments)
	page = call[contract.EnvironmentList](s, "GET /environments?limit=1&cursor="+page.NextCursor, http.StatusOK, "")
	require.Equal(t, []contract.Environment{first}, page.Environments)
	require.Empty(t, page.NextCursor)
}

func TestEnvironmentFieldsAreChecked(t *testing.T) {
	s := startServer(t, withEgressHosts("*.example.com"))
	for body, field := range map[string]string{
		`{"name":" "}`: "name", `{}`: "name", `{"name":"` + strings.Repeat("x", 201) + `"}`: "name",
		`{"name":"E","network":{}}`: "network.mode", `{"name":"E","network":{"mode":"some"}}`: "network.mode", `{"name":"E","other":1}`: "other",
		`{"name":"E","network":{"mode":"none","hosts":["a.example.com"]}}`:                           "network.hosts",
		`{"name":"E","network":{"mode":"limited","hosts":["a.example.com","127.0.0.1"]}}`:            "network.hosts.1",
		`{"name":"E","network":{"mode":"limited","hosts":["metadata.google.internal"]}}`:             "network.hosts.0",
		`{"name":"E","network":{"mode":"limited","hosts":["*"]}}`:                                    "network.hosts.0",
		`{"name":"E","network":{"mode":"limited","hosts":["a.example.com","a.example.org"]}}`:        "network.hosts.1",
		`{"name":"E","network":{"mode":"limited","packages":true}}`:                                  "network.packages",
		`{"name":"E","network":{"mode":"open"}}`:                                                     "network.mode",
		`{"name":"E","variables":{"PATH":"x"}}`:                                                      "variables.PATH",
		`{"name":"E","variables":{"A B":"x"}}`:                                                       "variables",
		`{"name":"E","variables":{"A":1}}`:                                                           "variables.A",
		`{"name":"E","network":{"mode":"limited","hosts":[` + strings.Repeat(`"a",`, 100) + `"a"]}}`: "network.hosts",
	} {
		p := call[contract.Problem](s, "POST /environments", http.StatusBadRequest, body)
		fields := make([]string, len(p.Errors))
		for i, e := range p.Errors {
			fields[i] = e.Field
		}
		require.Contains(t, fields, field, "%.200s: %v", body, p.Errors)
	}
	refused := call[contract.Problem](s, "POST /environments", http.StatusBadRequest, `{"name":"E","network":{"mode":"limited","hosts":["a.example.org"]}}`)
	require.Equal(t, "network.hosts.0: a.example.org is not allowed by the operator, who allows *.example.com (AIRLOCK_EGRESS_HOSTS).", refused.Detail)
	e := s.createEnvironment(`{"name":"E"}`)
	for body, field := range map[string]string{
		`{"name":null}`: "name", `{"network":{"mode":"open"}}`: "network.mode", `{"network":{"hosts":["a.example.com"]}}`: "network.hosts", `{"id":"x"}`: "id",
	} {
		require.Equal(t, field, call[contract.Problem](s, "PATCH /environments/"+e.Id, http.StatusBadRequest, body).Errors[0].Field)
	}
}

// Runs, messages and batches name an environment, or use their agent's, and show the version that they were accepted
// with.
func TestWorkNamesItsEnvironment(t *testing.T) {
	s := startServer(t)
	ofAgent, other := s.createEnvironment(`{"name":"A"}`), s.createEnvironment(`{"name":"B"}`)
	call[contract.Environment](s, "PATCH /environments/"+other.Id, http.StatusOK, `{"variables":{"A":"b"}}`)
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"i","environmentId":"`+ofAgent.Id+`"}`)
	require.Equal(t, ofAgent.Id, a.EnvironmentId)
	shown := func(accepted contract.AcceptedExecution) contract.EnvironmentRef {
		return call[contract.Execution](s, "GET "+accepted.Urls.Self, http.StatusOK, "").Environment
	}
	for named, want := range map[string]contract.EnvironmentRef{"": {Id: ofAgent.Id, Version: 1}, other.Id: {Id: other.Id, Version: 2}} {
		member, query := "", ""
		if named != "" {
			member, query = `,"environmentId":"`+named+`"`, "?environmentId="+named
		}
		require.Equal(t, want, shown(call[contract.AcceptedExecution](s, "POST /agents/"+a.Id+"/run", http.StatusAccepted, `{"input":"x"`+member+`}`)))
		require.Equal(t, want, shown(call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"x","agentId":"`+a.Id+`"`+member+`}`)))
		b := call[contract.Batch](s, "POST /agents/"+a.Id+"/batches"+query, http.StatusAccepted, `"x"`, "Content-Type", mediaTypeJSONLines)
		require.Equal(t, want, b.Environment)
	}
	require.Zero(t, shown(s.runAgent(s.createAgent().Id)))

	versions := call[contract.Agent](s, "PATCH /agents/"+a.Id, http.StatusOK, `{"environmentId":null}`)
	require.Empty(t, versions.EnvironmentId)
	require.Zero(t, shown(s.runAgent(a.Id)))
}

// An environment that is missing, another tenant's or deleted is the same wrong field, wherever it is named.
func TestMissingEnvironmentIsAWrongField(t *testing.T) {
	s := startServer(t)
	a, deleted := s.createAgent(), s.createEnvironment(`{"name":"A"}`)
	uses := call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"i","environmentId":"`+deleted.Id+`"}`)
	require.Equal(t, http.StatusNoContent, s.do(http.MethodDelete, "/environments/"+deleted.Id, "").StatusCode)
	bobs := s.createEnvironment(`{"name":"B"}`, "X-User-Id", "bob")
	want := []contract.FieldError{{Field: "environmentId", Detail: noSuchEnvironment}}
	for _, missing := range []string{id.New(id.Environment), bobs.Id, deleted.Id, "env_x", "a/b", a.Id} {
		member := `"environmentId":"` + missing + `"}`
		for route, body := range map[string]string{
			"POST /agents":                  `{"name":"A","instructions":"i",` + member,
			"PATCH /agents/" + a.Id:         `{` + member,
			"POST /agents/" + a.Id + "/run": `{"input":"x",` + member,
			"POST /api/conversation":        `{"message":"x",` + member,
			"POST /agents/" + a.Id + "/batches?environmentId=" + missing: `"x"`,
		} {
			contentType := "application/json"
			if strings.Contains(route, "batches") {
				contentType = mediaTypeJSONLines
			}
			require.Equal(t, want, call[contract.Problem](s, route, http.StatusBadRequest, body, "Content-Type", contentType).Errors, route)
		}
	}
	p := call[contract.Problem](s, "POST /agents/"+uses.Id+"/run", http.StatusBadRequest, `{"input":"x"}`)
	require.Equal(t, "environmentId: is that of the agent, "+deleted.Id+", which was deleted; name another, or change the agent.", p.Detail)
	require.Equal(t, "B", call[contract.Agent](s, "PATCH /agents/"+uses.Id, http.StatusOK, `{"name":"B"}`).Name, "other fields can be changed")
}
