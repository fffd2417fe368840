package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
)

func TestShowChange(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	warning := client.BudgetWarningEvent{Scope: client.BudgetScopeTenant, Day: "2026-11-30", LimitUsd: 8, SoftLimit: 0.8, SpentUsd: 8.5, At: at}
	ofAgent := warning
	ofAgent.Scope, ofAgent.AgentId = client.BudgetScopeAgent, "agt_1"
	precise := warning
	precise.LimitUsd, precise.SpentUsd = 0.05, 0.0525
	for want, ch := range map[string]client.Change{
		"exe_1  running, attempt 2":                                              {ChangeEvent: client.ChangeEvent{ExecutionId: "exe_1", Status: "running", Attempt: 2, At: at}},
		"changes may be missing here: list the executions again":                 {Reload: true},
		"tenant has reached its soft limit: 8.50 of 8.00 USD on 2026-11-30":      {BudgetWarning: &warning},
		"agent agt_1 has reached its soft limit: 8.50 of 8.00 USD on 2026-11-30": {BudgetWarning: &ofAgent},
		"tenant has reached its soft limit: 0.0525 of 0.05 USD on 2026-11-30":    {BudgetWarning: &precise},
	} {
		var out strings.Builder
		showChange(&out, ch)
		require.True(t, strings.HasSuffix(out.String(), want+"\n"), out.String())
	}
}

// A warning and a reload are no changes of an execution, so they have no member of one.
func TestChangeAsJSON(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for want, ch := range map[string]client.Change{
		`{"reload":true}`: {Reload: true},
		`{"executionId":"exe_1","kind":"run","status":"running","attempt":2,"at":"2026-11-30T12:00:00Z"}`: {
			ChangeEvent: client.ChangeEvent{ExecutionId: "exe_1", Kind: "run", Status: "running", Attempt: 2, At: at},
		},
		`{"budgetWarning":{"scope":"tenant","day":"2026-11-30","limitUsd":0.05,"softLimit":0.8,"spentUsd":0.0525,"at":"2026-11-30T12:00:00Z"}}`: {
			BudgetWarning: &client.BudgetWarningEvent{Scope: client.BudgetScopeTenant, Day: "2026-11-30", LimitUsd: 0.05, SoftLimit: 0.8, SpentUsd: 0.0525, At: at},
		},
	} {
		got, err := json.Marshal(ch)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got))
		var back client.Change
		require.NoError(t, json.Unmarshal(got, &back))
		require.Equal(t, ch, back)
	}
}
