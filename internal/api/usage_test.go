package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/usage"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a := s.createAgent()
	run := func(body string) contract.AcceptedExecution {
		return call[contract.AcceptedExecution](s, "POST /agents/"+a.Id+"/run", http.StatusAccepted, body)
	}
	run(`{"input":"still queued"}`)
	canceled := run(`{"input":"x","labels":{"env":"prod"}}`)
	call[contract.Execution](s, "POST "+canceled.Urls.Cancel, http.StatusAccepted, "")
	ended := run(`{"input":"y","labels":{"env":"prod","team":"b"}}`)
	ref := execution.Ref{Tenant: "local", ID: ended.ExecutionId}
	_, err := s.store.Apply(t.Context(), ref, execution.Claimed{Executor: "x1", Session: "s"})
	require.NoError(t, err)
	ending := execution.Ending{Status: execution.Succeeded, Usage: execution.Usage{InputTokens: 5, OutputTokens: 7, CostUSD: 0.125}}
	_, err = s.store.Apply(t.Context(), ref, execution.JobEnded{Attempt: 1, Session: "s", Ending: ending})
	require.NoError(t, err)
	now, err := s.store.Now(t.Context())
	require.NoError(t, err)
	today := usage.DayOf(now)

	empty := call[contract.UsageReport](s, "GET /usage", http.StatusOK, "")
	require.Empty(t, empty.Rows, "nothing is written yet")
	require.Equal(t, today, empty.To)
	_, _, err = s.store.FlushUsage(t.Context())
	require.NoError(t, err)
	_, err = s.store.CreateBudgetWarning(t.Context(), usage.Warning{Tenant: "local", Day: today, Level: usage.Soft, LimitUSD: 0.1, SpentUSD: 0.125}, now)
	require.NoError(t, err)

	want := contract.UsageCounts{Executions: 2, Succeeded: 1, Canceled: 1, Attempts: 1, InputTokens: 5, OutputTokens: 7, CostUsd: 0.125}
	s.store.reads.Store(0)
	got := call[contract.UsageReport](s, "GET /usage", http.StatusOK, "")
	require.Equal(t, want, got.Total)
	require.Equal(t, []contract.UsageRow{{Day: today, Counts: want}}, got.Rows)
	require.Len(t, got.Warnings, 1)
	require.Equal(t, contract.BudgetLevel("soft"), got.Warnings[0].Level)
	got = call[contract.UsageReport](s, "GET /usage?groupBy=agent,kind,lane", http.StatusOK, "")
	require.Equal(t, []contract.UsageRow{{AgentId: a.Id, Kind: contract.Kind("run"), Lane: "interactive", Counts: want}}, got.Rows)
	got = call[contract.UsageReport](s, "GET /usage?groupBy=label", http.StatusOK, "")
	require.Equal(t, want, got.Total)
	require.Len(t, got.Rows, 2)
	require.Equal(t, "env=prod", got.Rows[0].Label)
	require.EqualValues(t, 2, got.Rows[0].Counts.Executions)
	require.Zero(t, s.store.reads.Load(), "no execution is read")

	other := call[contract.UsageReport](s, "GET /usage", http.StatusOK, "", tenantHeader, "other")
	require.Zero(t, other.Total.Executions)
	require.Empty(t, other.Warnings)
}

func TestUsageParameters(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	for query, field := range map[string]string{
		"from=2026-11-31":                    "from",
		"to=yesterday":                       "to",
		"from=2026-11-30&to=2026-11-29":      "from",
		"from=2026-08-30&to=2026-11-30":      "from",
		"groupBy=day,day":                    "groupBy",
		"groupBy=tenant":                     "groupBy",
		"groupBy=label,agent":                "groupBy",
		"groupBy=":                           "groupBy",
		"groupBy=" + strings.Repeat("a", 65): "groupBy",
	} {
		got := s.do(http.MethodGet, "/usage?"+query, "")
		require.Equal(t, http.StatusBadRequest, got.StatusCode, "%s: %s", query, got.body)
		require.Equal(t, field, decodeProblem(t, got).Errors[0].Field, query)
	}
	got := call[contract.UsageReport](s, "GET /usage?from=2026-08-31&to=2026-11-30&groupBy=day,label", http.StatusOK, "")
	require.Equal(t, "2026-08-31", got.From)
}

func TestDailyBudgetOfAnAgent(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	a := call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"x","dailyBudget":{"usd":5,"softUsd":4}}`)
	require.Equal(t, contract.DailyBudget{Usd: 5, SoftUsd: 4}, a.DailyBudget)
	got := s.do(http.MethodPatch, "/agents/"+a.Id, `{"dailyBudget":{"usd":3}}`, "Content-Type", mediaTypeMergePatch)
	require.Equal(t, http.StatusBadRequest, got.StatusCode)
	require.Equal(t, "dailyBudget.softUsd", decodeProblem(t, got).Errors[0].Field)
	a = call[contract.Agent](s, "PATCH /agents/"+a.Id, http.StatusOK, `{"dailyBudget":{"softUsd":null,"usd":3}}`, "Content-Type", mediaTypeMergePatch)
	require.Equal(t, contract.DailyBudget{Usd: 3}, a.DailyBudget)
}
