package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/api/contract"
)

func pageRequestAt(target, cursor string) (pageRequest, error) {
	req := httptest.NewRequest(http.MethodGet, target, nil)
	return parsePageRequest(echo.New().NewContext(req, httptest.NewRecorder()), pageParams{7, cursor})
}

func TestCursorIsBoundToListAndFilters(t *testing.T) {
	here, err := pageRequestAt("/executions?status=queued&label=a%3Db&limit=7", "")
	require.NoError(t, err)
	cursor := here.encodeCursor(cursorPosition{sortKey: 1700000000123456, id: "exe_1"})
	same, err := pageRequestAt("/executions?limit=9&label=a%3Db&status=queued", cursor)
	require.NoError(t, err, "the order of the filters and the limit do not matter")
	require.Equal(t, cursorPosition{sortKey: 1700000000123456, id: "exe_1"}, *same.after)
	for _, other := range []string{"/agents?status=queued&label=a%3Db", "/executions", "/executions?status=running&label=a%3Db"} {
		_, err := pageRequestAt(other, cursor)
		require.ErrorContains(t, err, "cursor", other)
	}
}

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, err := pageRequestAt("/executions", "")
		require.NoError(t, err)
		p := cursorPosition{sortKey: rapid.Int64().Draw(t, "number"), id: rapid.String().Draw(t, "id")}
		back, ok := l.decodeCursor(l.encodeCursor(p))
		require.True(t, ok)
		require.Equal(t, p, back)
	})
}

// A cursor is accepted only if this list returned it.
func FuzzCursor(f *testing.F) {
	l, err := pageRequestAt("/executions", "")
	require.NoError(f, err)
	f.Add(l.encodeCursor(cursorPosition{sortKey: 1, id: "exe_1"}))
	f.Add("")
	f.Add("AAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		p, ok := l.decodeCursor(cursor)
		if ok {
			require.Equal(t, cursor, l.encodeCursor(p), "a position has one cursor")
		}
	})
}

func TestListPagination(t *testing.T) {
	s := startServer(t)
	var agents []string
	for range 5 {
		agents = append([]string{s.createAgent().Id}, agents...)
	}
	var got []string
	cursor := ""
	for {
		page := call[contract.AgentList](s, "GET /agents?limit=2&cursor="+cursor, http.StatusOK, "")
		for _, a := range page.Agents {
			got = append(got, a.Id)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
		require.Len(t, page.Agents, 2)
	}
	require.Equal(t, agents, got)

	bad := call[contract.Problem](s, "GET /agents?cursor=invalid", http.StatusBadRequest, "")
	require.Equal(t, "cursor", bad.Errors[0].Field)
}

func TestConversationPaginationByTurn(t *testing.T) {
	s := startServer(t)
	sent := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"ask 1"}`)
	for i := 2; i <= 5; i++ {
		call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, fmt.Sprintf(`{"message":"ask %d","conversationId":%q}`, i, sent.ConversationId))
	}
	path := "/api/conversation/" + sent.ConversationId + "?limit=2"
	var got []string
	for cursor := ""; ; {
		page := call[contract.ConversationDetail](s, "GET "+path+"&cursor="+cursor, http.StatusOK, "")
		var texts []string
		for _, m := range page.Messages {
			texts = append(texts, m.Text)
		}
		got = append(texts, got...)
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{"ask 1", "ask 2", "ask 3", "ask 4", "ask 5"}, got)
}

func TestListExecutionsFilters(t *testing.T) {
	s := startServer(t)
	a := s.createAgent()
	plain := s.runAgent(a.Id)
	labelled := call[contract.AcceptedExecution](s, "POST /agents/"+a.Id+"/run", http.StatusAccepted, `{"input":"x","labels":{"env":"prod","team":""}}`)
	turn := call[contract.AcceptedExecution](s, "POST /api/conversation", http.StatusAccepted, `{"message":"hello"}`)
	call[contract.Execution](s, "POST "+plain.Urls.Cancel, http.StatusAccepted, "")
	for query, want := range map[string][]string{
		"status=canceled":                       {plain.ExecutionId},
		"agentId=" + a.Id:                       {labelled.ExecutionId, plain.ExecutionId},
		"kind=run&status=queued":                {labelled.ExecutionId},
		"label=" + url.QueryEscape("env=prod"):  {labelled.ExecutionId},
		"label=team%3D&agentId=" + a.Id:         {labelled.ExecutionId},
		"conversationId=" + turn.ConversationId: {turn.ExecutionId},
		"label=env%3Dtest":                      nil,
		"batchId=bat_000000000000000000000000":  nil,
	} {
		list := call[contract.ExecutionList](s, "GET /executions?"+query, http.StatusOK, "")
		var got []string
		for _, e := range list.Executions {
			got = append(got, e.Id)
		}
		require.Equal(t, want, got, query)
	}
	e := call[contract.Execution](s, "GET "+labelled.Urls.Self, http.StatusOK, "")
	require.Equal(t, contract.Labels{"env": "prod", "team": ""}, e.Labels)

	for query, field := range map[string]string{
		"status=": "status", "agentId=": "agentId", "batchId=": "batchId", "conversationId=": "conversationId", "label=": "label",
		"status=done": "status", "kind=job": "kind", "agentId=x": "agentId", "conversationId=exe_1": "conversationId",
		"label=env": "label", "limit=0": "limit", "limit=101": "limit", "limit=x": "limit", "status=queued&status=running": "status", "stauts=queued": "stauts",
	} {
		bad := call[contract.Problem](s, "GET /executions?"+query, http.StatusBadRequest, "")
		require.Equal(t, field, bad.Errors[0].Field, query)
	}
}

func TestLabelLimits(t *testing.T) {
	s := startServer(t)
	path := "/agents/" + s.createAgent().Id + "/run"
	many := `{"a0":""`
	for i := range 16 {
		many += fmt.Sprintf(`,"b%d":""`, i)
	}
	for labels, field := range map[string]string{
		`{"":"x"}`: "labels.", `{"a=b":"x"}`: "labels.a=b", `{"a":7}`: "a", `[]`: "labels", many + `}`: "labels",
	} {
		bad := call[contract.Problem](s, "POST "+path, http.StatusBadRequest, `{"input":"x","labels":`+labels+`}`)
		require.Contains(t, bad.Errors[0].Field, field, labels)
	}
}
