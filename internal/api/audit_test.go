package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/domain/tenant"
)

func TestAuditLogEntries(t *testing.T) {
	g := startWithAPIKeys(t)
	core, lines := observer.New(zap.DebugLevel)
	config := g.config
	config.Log = zap.New(core)
	srv := New(config)
	httpServer := httptest.NewServer(srv.Handler())
	defer httpServer.Close()
	g.url = httpServer.URL

	ada := g.issueKey("ada", tenant.ScopeRun, tenant.ScopeAgents)
	created := g.do(http.MethodPost, "/agents", `{"name":"A","instructions":"confidential"}`, append(ada, "Idempotency-Key", "k", "X-Request-Id", "r1")...)
	path := created.Header.Get("Location")
	g.do(http.MethodPost, "/agents", `{"name":"A","instructions":"confidential"}`, append(ada, "Idempotency-Key", "k")...)
	g.do(http.MethodPost, path+"/run", `{"input":""}`, ada...)
	g.do(http.MethodDelete, path, "", ada...)
	g.do(http.MethodDelete, "/keys/key_x", "", ada...)
	g.do(http.MethodDelete, path, "", bearerHeader("alk_wrong")...)
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
		{"ada", "DELETE /keys/:id", "key_x", "insufficient_scope", 403, false},
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
