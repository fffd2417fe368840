package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// readRunBody reads a body as the handler of runAgent does.
func readRunBody(body string) (contract.RunAgent, error) {
	req := httptest.NewRequest(http.MethodPost, "/agents/agt_1/run", strings.NewReader(body))
	req.Header.Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c := echo.New().NewContext(req, httptest.NewRecorder())
	c.SetPath("/agents/:id/run")
	var run contract.RunAgent
	return run, readJSON(c, &run)
}

// Every body is accepted or is an error of the client. An accepted body can be encoded and read again.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"input":"x","timeout":"90s","labels":{"a":"b"},"files":[{"path":"a","content":"b"}]}`,
		`{"input":"x","input":"y"}`, `{"Input":"x"}`, `{"input":1}`, `{"input":"\ud800"}`, `{"input":"x"} {}`, `[[[[`, "\xff", "",
		strings.Repeat(`{"labels":`, 1000), `{"input":` + strings.Repeat("[", 10_000),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		run, err := readRunBody(body)
		if err != nil {
			p := problemFor(err)
			require.GreaterOrEqual(t, p.Status, http.StatusBadRequest)
			require.Less(t, p.Status, http.StatusInternalServerError, p.Detail)
			return
		}
		written, err := json.Marshal(run)
		require.NoError(t, err)
		again, err := readRunBody(string(written))
		require.NoError(t, err, "%s", written)
		require.Equal(t, run, again)
	})
}

// Every query of a list is answered or is an error of the client.
func FuzzFilters(f *testing.F) {
	s := startServer(f)
	s.runAgent(s.createAgent().Id)
	s.log = zap.NewNop() // the log of f must not be used below
	for _, seed := range []string{
		"status=queued&kind=run&limit=100", "label=a%3Db", "label=a", "label==", "limit=0", "limit=1e3", "limit=-1", "status=", "status=queued&status=running",
		"agentId=agt_" + strings.Repeat("0", 24), "agentId=../x", "cursor=AAAA", "%zz", ";", "a=b", "batchId=%00", "label=%ff%3D%ff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		req := httptest.NewRequest(http.MethodGet, "http://localhost/executions", nil)
		req.URL.RawQuery = query
		res := httptest.NewRecorder()
		s.Handler().ServeHTTP(res, req)
		require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, res.Code, "%s", res.Body)
	})
}
