package api

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/caller"
	"github.com/airlock-run/airlock/internal/prompt"
	"github.com/airlock-run/airlock/internal/store"
)

func TestTheAuditLogSaysWhoDidWhat(t *testing.T) {
	g := startGuarded(t)
	core, lines := observer.New(zap.DebugLevel)
	srv := New(g.config, g.store, g.queue, zap.New(core))
	web := httptest.NewServer(srv.Handler())
	defer web.Close()
	g.url = web.URL

	ada := g.key("ada", caller.Run, caller.Agents)
	made := g.do(http.MethodPost, "/agents", `{"name":"A","instructions":"confidential"}`, append(ada, "Idempotency-Key", "k", "X-Request-Id", "r1")...)
	path := made.Header.Get("Location")
	g.do(http.MethodPost, "/agents", `{"name":"A","instructions":"confidential"}`, append(ada, "Idempotency-Key", "k")...)
	g.do(http.MethodPost, path+"/run", `{"input":""}`, ada...)
	g.do(http.MethodDelete, path, "", ada...)
	g.do(http.MethodDelete, "/keys/key_x", "", ada...)
	g.do(http.MethodDelete, path, "", bearer("alk_wrong")...)
	g.do(http.MethodGet, "/agents", "", ada...) // changes nothing

	type line struct {
		tenant, route, resource, code string
		status                        int64
		replayed                      bool
	}
	var got []line
	for _, l := range lines.FilterLoggerName("audit").All() {
		m := l.ContextMap()
		got = append(got, line{
			m["tenant"].(string), m["route"].(string), m["resource"].(string), m["code"].(string), m["status"].(int64), m["replayed"].(bool),
		})
		require.NotEmpty(t, m["request"])
		require.Equal(t, m["tenant"] != "", strings.HasPrefix(m["caller"].(string), "key_"))
		require.Equal(t, "127.0.0.1", m["address"])
	}
	id := strings.TrimPrefix(path, "/agents/")
	require.Equal(t, []line{
		{"ada", "POST /agents", path, "", 201, false},
		{"ada", "POST /agents", path, "", 201, true},
		{"ada", "POST /agents/:id/run", id, "invalid_request", 400, false},
		{"ada", "DELETE /agents/:id", id, "", 204, false},
		{"ada", "DELETE /keys/:id", "key_x", "missing_scope", 403, false},
		{"", "DELETE /agents/:id", id, "unauthenticated", 401, false},
	}, got)
	for _, l := range lines.All() {
		for key, value := range l.ContextMap() {
			text, _ := value.(string)
			require.NotContains(t, text, "confidential", key)
			require.NotContains(t, text, strings.TrimPrefix(ada[1], "Bearer "), key)
		}
	}
}

func TestTheOperatorsRulesHold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`[{name: no cards, pattern: '\b\d{16}\b'}]`), 0o600))
	rules, err := prompt.Load(file)
	require.NoError(t, err)
	s := start(t, func(c *Config, _ *store.Store) { c.Rules = rules })
	agent := s.agent()
	const card = "4111111111111111"
	for _, tried := range [][3]string{
		{http.MethodPost, "/api/conversation", `{"message":"pay with ` + card + `"}`},
		{http.MethodPost, "/agents/" + agent.Id + "/run", `{"input":"` + card + `"}`},
		{http.MethodPost, "/agents", `{"name":"B","instructions":"Use ` + card + `"}`},
		{http.MethodPatch, "/agents/" + agent.Id, `{"instructions":"Use ` + card + `"}`},
		{http.MethodPost, "/agents/" + agent.Id + "/batches", "\"fine\"\n\"" + card + "\"\n"},
	} {
		header := []string{}
		if strings.HasSuffix(tried[1], "/batches") {
			header = []string{"Content-Type", "application/jsonl"}
		}
		got := s.do(tried[0], tried[1], tried[2], header...)
		require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode, "%s: %s", tried[1], got.body)
		require.Contains(t, problemOf(t, got).Detail, `"no cards"`)
		require.NotContains(t, string(got.body), card)
	}
	require.NotContains(t, string(s.do(http.MethodGet, "/executions", "").body), "exe_")
	require.NotContains(t, string(s.do(http.MethodGet, "/batches", "").body), "bat_")
}
