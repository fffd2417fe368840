package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
)

func TestUsageCommand(t *testing.T) {
	report := client.UsageReport{
		Total: client.UsageCounts{Executions: 3, Succeeded: 2, CostUsd: 0.75},
		Rows: []client.UsageRow{
			{Day: "2026-11-30", AgentId: "agt_1", Counts: client.UsageCounts{Executions: 2, Succeeded: 2, InputTokens: 7, CostUsd: 0.5}},
			{Day: "2026-11-30", Counts: client.UsageCounts{Executions: 1, CostUsd: 0.25}},
		},
		Warnings: []client.BudgetWarning{{Day: "2026-11-30", Level: "soft", LimitUsd: 0.5, SpentUsd: 0.75}},
	}
	a := startFakeAPI(t, map[string][]any{"GET /usage": {report}})
	code, out, stderr := runCLI(t, "", "usage", "--server", a.URL, "--from", "2026-11-01", "--group-by", "day,agent")
	require.Zero(t, code, stderr)
	require.Equal(t, "GET /usage?from=2026-11-01&groupBy=day%2Cagent", a.requests[0])
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Regexp(t, `^DAY +AGENT +EXECUTIONS +NOT_SUCCEEDED`, lines[0])
	require.Regexp(t, `^2026-11-30 +agt_1 +2 +0 +7 +0 +0.5000$`, lines[1])
	require.Regexp(t, `^2026-11-30 +- +1 +1 +0 +0 +0.2500$`, lines[2])
	require.Regexp(t, `^total +3 +1 +0 +0 +0.7500$`, lines[3])
	require.Equal(t, "2026-11-30: soft limit of the tenant reached: 0.7500 of 0.5000 USD", lines[4])

	code, out, _ = runCLI(t, "", "usage", "--server", a.URL, "--json")
	require.Zero(t, code)
	require.True(t, strings.HasPrefix(out, `{"from"`), out)
}
