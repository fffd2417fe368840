package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/api/contract"
)

func TestExecutorCommands(t *testing.T) {
	x := client.Executor{
		Name: "rack 7", Session: "prc_1.1", Version: "v1", Alive: true, Pulling: true, Slots: 8, BusySlots: 3, Architecture: "amd64",
		Runtimes: []client.ExecutorRuntime{{Name: "offline", Image: "i"}, {Name: "claude", Image: "c", Unavailable: "no such image"}},
	}
	draining, dead, broken, resumed := x, x, x, x
	draining.Draining = true
	dead.Alive = false
	broken.Pulling, broken.Reason = false, "the Engine does not answer"
	resumed.Pulling, resumed.Reason = false, "takes executions with its next renewal"
	a := startFakeAPI(t, map[string][]any{
		"GET /executors":                 {client.ExecutorList{Executors: []client.Executor{x, draining, dead, broken}}},
		"POST /executors/rack%207/drain": {draining}, "POST /executors/rack%207/resume": {x, resumed},
		"POST /executors/none/drain": {contract.Problem{Status: 404, Title: "Not Found", Code: contract.ProblemNotFound, Detail: `There is no executor "none".`}},
	})
	code, out, stderr := runCLI(t, "", "executor", "list", "--server", a.URL)
	require.Zero(t, code, stderr)
	lines := strings.Split(out, "\n")
	require.Regexp(t, `^rack 7 +ready +3 +8 +offline,claude\(!\) +amd64 +v1 +-`, lines[1])
	for i, state := range []string{"draining", "dead", "waits: the Engine does not answer"} {
		require.Contains(t, lines[i+2], state)
	}
	code, out, stderr = runCLI(t, "", "executor", "drain", "rack 7", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Equal(t, "rack 7 draining, 3 of 8 slots busy\n", out)
	code, out, _ = runCLI(t, "", "executor", "resume", "rack 7", "--server", a.URL, "--json")
	require.Zero(t, code)
	require.Contains(t, out, `"session":"prc_1.1"`)
	code, out, _ = runCLI(t, "", "executor", "resume", "rack 7", "--server", a.URL)
	require.Zero(t, code)
	require.Equal(t, "rack 7 resumed: takes executions with its next renewal, 3 of 8 slots busy\n", out)
	code, _, stderr = runCLI(t, "", "executor", "drain", "none", "--server", a.URL)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "There is no executor")
}

func TestTenantCommands(t *testing.T) {
	four, none := 4, 0
	settings := client.TenantSettings{Paused: true, MaxRunning: &four, Weight: 2, TranscriptRetention: "0s"}
	work := client.Work{Waiting: client.LaneCounts{Interactive: 1000, Batch: 7}, Running: client.LaneCounts{Interactive: 4}, CountLimit: 1000}
	detail := client.TenantDetail{
		Id: "ada", Settings: settings, Work: work, Limits: client.TenantLimits{MaxQueued: 100, MaxRunning: 4, Weight: 2, TranscriptRetention: "0s"}, SpentTodayUsd: 0.25,
	}
	a := startFakeAPI(t, map[string][]any{
		"GET /tenants":     {client.TenantList{Tenants: []client.Tenant{{Id: "ada", Settings: settings, Work: work}, {Id: "bob", Settings: client.TenantSettings{MaxRunning: &none, MaxQueued: &none}}}}},
		"GET /tenants/ada": {detail}, "PATCH /tenants/ada": {detail},
	})
	code, out, stderr := runCLI(t, "", "tenants", "list", "--waiting", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Regexp(t, `ada +paused +1000\+ +4 +7 +0 +max-running=4,weight=2,transcript-retention=0s`, out)
	require.Regexp(t, `bob .* max-queued=none,max-running=none`, out)
	require.Equal(t, "GET /tenants?limit=100&waiting=true", a.requests[0])
	code, out, stderr = runCLI(t, "", "tenants", "get", "ada", "--server", a.URL)
	require.Zero(t, code, stderr)
	for _, line := range []string{`waiting +1000\+, and 7 of batches`, `max-queued +100`, `max-daily-usd +none`, `spent today +0.2500 USD`, `transcripts +0s`} {
		require.Regexp(t, line, out)
	}
	for args, body := range map[string]string{
		"pause ada":  `{"paused":true}`,
		"resume ada": `{"paused":false}`,
		"set ada --max-queued 0 --max-daily-usd 2.5 --weight default": `{"maxDailyUsd":2.5,"maxQueued":0,"weight":null}`,
		"set ada --transcript-retention 72h":                          `{"transcriptRetention":"72h"}`,
		"set ada --transcript-retention default":                      `{"transcriptRetention":null}`,
	} {
		code, _, stderr = runCLI(t, "", append(append([]string{"tenants"}, strings.Fields(args)...), "--server", a.URL)...)
		require.Zero(t, code, stderr)
		require.Equal(t, "PATCH /tenants/ada "+body, a.requests[len(a.requests)-1])
	}
	for _, args := range []string{"set ada", "set ada --weight NaN", "set ada --weight 0x1p3", "set ada --max-running many", "set ada --transcript-retention 72", "pause", "get"} {
		code, _, stderr = runCLI(t, "", append(append([]string{"tenants"}, strings.Fields(args)...), "--server", a.URL)...)
		require.Equal(t, exitUsage, code, "%s: %s", args, stderr)
	}
}

func TestStatusCommand(t *testing.T) {
	now := time.Now()
	healthy := client.InstallationStatus{
		Version: "v1", Time: now, Checks: []client.StatusCheck{{Name: "firestore", Ok: true}},
		Fleet: client.FleetStatus{Leader: "prc_1", RenewedAt: now.Add(-3 * time.Second), Executors: 2, Apis: 1, Partitions: 16, OwnedPartitions: 16, Runtimes: []string{"offline"}, Slots: client.LaneCounts{Interactive: 8, Batch: 6}},
		Work:  client.Work{Waiting: client.LaneCounts{Interactive: 5}, Running: client.LaneCounts{Batch: 2}, CountLimit: 100},
	}
	sick := client.InstallationStatus{Version: "v1", Time: now, Checks: []client.StatusCheck{{Name: "firestore", Ok: true}, {Name: "leader", Detail: "Start one."}}}
	a := startFakeAPI(t, map[string][]any{"GET /status": {healthy, sick}})
	code, out, stderr := runCLI(t, "", "status", "--server", a.URL)
	require.Zero(t, code, stderr)
	for _, line := range []string{`firestore +ok`, `leader +prc_1, 3s ago`, `dispatchers +for 16 of 16`, `interactive +5 +0 +8`, `batch +0 +2 +6`} {
		require.Regexp(t, line, out)
	}
	code, out, stderr = runCLI(t, "", "status", "--server", a.URL)
	require.Equal(t, exitFailed, code, "scripts notice")
	require.Regexp(t, `leader +Start one.`, out)
	require.NotContains(t, out, "LANE")
	require.Contains(t, stderr, "leader: Start one.")
}
