package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/ratelimit"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/store"
)

func withTenantDefaults(c *Config, _ *store.Store) {
	c.TenantDefaults = tenant.Limits{MaxQueued: 100, MaxRunning: 4, MaxDailyUSD: 2.5, TranscriptRetention: new(72 * time.Hour)}
}

// A merge patch changes the fields that it names, and no others: also not those that other processes write.
func TestUpdateTenant(t *testing.T) {
	s := startServer(t, withTenantDefaults)
	defaults := contract.TenantLimits{MaxQueued: 100, MaxRunning: 4, MaxDailyUsd: 2.5, Weight: 1, TranscriptRetention: "72h0m0s"}
	never := call[contract.TenantDetail](s, "GET /tenants/ada", http.StatusOK, "", asOperator...)
	require.Equal(t, defaults, never.Limits, "a tenant that has never called")

	doc := s.firestore.Client.Collection("tenants").Doc("ada")
	_, err := doc.Set(t.Context(), map[string]any{"backlogged": true, "newer": "field", "settings": map[string]any{"newer": 7}})
	require.NoError(t, err)
	patch := func(body string) contract.TenantDetail {
		return call[contract.TenantDetail](s, "PATCH /tenants/ada", http.StatusOK, body, asOperator...)
	}
	changed := patch(`{"paused":true,"maxQueued":0,"maxRunning":9,"maxDailyUsd":0.5,"softLimit":0.8,"weight":2,"transcriptRetention":"0s"}`)
	require.True(t, changed.Settings.Paused)
	require.Equal(t, "0s", changed.Settings.TranscriptRetention)
	require.Equal(t, contract.TenantLimits{MaxQueued: 0, MaxRunning: 9, MaxDailyUsd: 0.5, SoftLimit: 0.8, Weight: 2, TranscriptRetention: "0s"}, changed.Limits)
	changed = patch(`{"maxQueued":null,"weight":null,"transcriptRetention":"8760h"}`)
	require.Equal(t, contract.TenantLimits{MaxQueued: 100, MaxRunning: 9, MaxDailyUsd: 0.5, SoftLimit: 0.8, Weight: 1, TranscriptRetention: "8760h0m0s"}, changed.Limits,
		"longer than the installation's")
	require.True(t, changed.Settings.Paused)
	require.Nil(t, changed.Settings.MaxQueued)
	changed = patch(`{"paused":null,"maxRunning":null,"maxDailyUsd":null,"softLimit":null,"transcriptRetention":null}`)
	require.Equal(t, defaults, changed.Limits)
	require.False(t, changed.Settings.Paused)
	require.Equal(t, changed, patch(`{}`))

	snap, err := doc.Get(t.Context())
	require.NoError(t, err)
	require.Equal(t, "field", snap.Data()["newer"])
	require.Equal(t, map[string]any{"newer": int64(7)}, snap.Data()["settings"])
	require.EqualValues(t, fleet.Partition("ada"), snap.Data()["partition"])
	require.Equal(t, map[string]any{"interactive": "waiting", "batch": "waiting"}, snap.Data()["backlog"],
		"the dispatcher looks for what could not begin while the tenant was paused")
}

func TestUpdateTenantRejects(t *testing.T) {
	s := startServer(t)
	for _, body := range []string{
		`{"paused":"yes"}`, `{"maxQueued":-1}`, `{"maxQueued":1.5}`, `{"maxRunning":1e9}`, `{"maxDailyUsd":-0.01}`, `{"maxDailyUsd":1e-12}`, `{"maxDailyUsd":1e308}`, `{"maxDailyUsd":"1"}`,
		`{"transcriptRetention":""}`, `{"transcriptRetention":"-1s"}`, `{"transcriptRetention":"87601h"}`, `{"transcriptRetention":72}`, `{"transcriptRetention":"three days"}`,
		`{"softLimit":0}`, `{"softLimit":1.1}`, `{"weight":0}`, `{"weight":1e3}`, `{"budgetExhaustedUntil":null}`, `{"backlogged":false}`,
		`{"paused":true,"paused":false}`, `[]`, `null`, `7`, ``,
	} {
		got := s.do(http.MethodPatch, "/tenants/ada", body, append(asOperator, "Content-Type", "application/json")...)
		require.Equal(t, http.StatusBadRequest, got.StatusCode, "%s: %s", body, got.body)
	}
	require.Equal(t, http.StatusNotFound, s.do(http.MethodPatch, "/tenants/.no-name", `{"paused":true}`, asOperator...).StatusCode)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodGet, "/tenants/a%2Fb", "", asOperator...).StatusCode)
	list := call[contract.TenantList](s, "GET /tenants", http.StatusOK, "", asOperator...)
	require.Empty(t, list.Tenants, "nothing was stored")
}

// The owner of the tenant's partition is told that the settings have changed, and the audit log what the change was.
func TestUpdateTenantWakesDispatcher(t *testing.T) {
	s := startServer(t)
	s.addFleet("prc_owner")
	core, lines := observer.New(zap.InfoLevel)
	config := s.config
	config.Log = zap.New(core)
	httpServer := httptest.NewServer(New(config).Handler())
	defer httpServer.Close()
	s.url = httpServer.URL
	require.Equal(t, http.StatusOK, s.do(http.MethodPatch, "/tenants/ada", ` {"maxRunning" : 3} `, asOperator...).StatusCode)
	sent := s.signals("prc_owner")
	require.Len(t, sent, 1)
	require.Equal(t, signal.KindWake, sent[0].Kind)
	require.Equal(t, "ada", sent[0].Tenant)
	entries := lines.FilterLoggerName("audit").All()
	require.Len(t, entries, 2)
	require.Equal(t, `{"maxRunning":3}`, entries[0].ContextMap()["change"])
	require.Equal(t, "PATCH /tenants/:id", entries[1].ContextMap()["route"])
	require.Equal(t, "ada", entries[1].ContextMap()["resource"])
}

// signals returns what lies in the inbox of a process.
func (s server) signals(process string) []signal.Signal {
	s.t.Helper()
	snaps, err := s.firestore.Client.Collection("inboxes").Doc(process).Collection("items").Documents(s.t.Context()).GetAll()
	require.NoError(s.t, err)
	found := make([]signal.Signal, len(snaps))
	for i, snap := range snaps {
		require.NoError(s.t, snap.DataTo(&found[i]))
	}
	return found
}

func TestListTenants(t *testing.T) {
	s := startServer(t)
	for i := range 5 {
		_, err := s.firestore.Client.Collection("tenants").Doc(fmt.Sprint("tenant-", i)).Set(t.Context(), map[string]any{"backlogged": i%2 == 0})
		require.NoError(t, err)
	}
	agent := s.createAgent(tenantHeader, "tenant-3")
	s.runAgent(agent.Id, tenantHeader, "tenant-3")
	var names []string
	cursor := ""
	for pages := 0; pages == 0 || cursor != ""; pages++ {
		list := call[contract.TenantList](s, "GET /tenants?limit=2&cursor="+cursor, http.StatusOK, "", asOperator...)
		for _, found := range list.Tenants {
			names = append(names, found.Id)
			waiting := 0
			if found.Id == "tenant-3" {
				waiting = 1
			}
			require.Equal(t, contract.Work{Waiting: contract.LaneCounts{Interactive: waiting}, CountLimit: listCountLimit}, found.Work)
		}
		cursor = list.NextCursor
	}
	require.Equal(t, []string{"tenant-0", "tenant-1", "tenant-2", "tenant-3", "tenant-4"}, names)
	waiting := call[contract.TenantList](s, "GET /tenants?waiting=true", http.StatusOK, "", asOperator...)
	require.Len(t, waiting.Tenants, 3)
	require.Equal(t, "tenant-2", waiting.Tenants[1].Id)
}

// However many operators look at the list, a tenant is counted once in a while.
func TestTenantListsShareCounts(t *testing.T) {
	s := startServer(t)
	const tenants, callers = 20, 5
	for i := range tenants {
		_, err := s.firestore.Client.Collection("tenants").Doc(fmt.Sprintf("tenant-%02d", i)).Set(t.Context(), map[string]any{"backlogged": true})
		require.NoError(t, err)
	}
	before := s.firestore.Server.Report().Total.Reads
	var calls sync.WaitGroup
	for range callers {
		calls.Go(func() {
			if got := s.do(http.MethodGet, "/tenants?limit=10", "", asOperator...); got.StatusCode != http.StatusOK {
				t.Errorf("%d: %s", got.StatusCode, got.body)
			}
		})
	}
	calls.Wait()
	after := s.firestore.Server.Report().Total.Reads
	t.Logf("%d lists of 10 tenants: %+v", callers, after.Sum()-before.Sum())
	require.Equal(t, int64(4*10), after.Aggregations-before.Aggregations, "only those of the page are counted, once")
	require.Equal(t, int64(callers*11), after.Queries-before.Queries)
}

func TestListAndDrainExecutors(t *testing.T) {
	s := startServer(t)
	require.Empty(t, call[contract.ExecutorList](s, "GET /executors", http.StatusOK, "", asOperator...).Executors)
	s.addExecutor("rack 7/a", "prc_1.1")
	s.addExecutor("rack 7/a", "prc_2.1") // started anew; the old session has not expired yet
	s.addExecutor("rack 8", "prc_3.1")
	list := call[contract.ExecutorList](s, "GET /executors?limit=2", http.StatusOK, "", asOperator...)
	require.Len(t, list.Executors, 2)
	x := list.Executors[0]
	require.Equal(t, contract.Executor{
		Name: "rack 7/a", Session: "prc_1.1", Version: "v1", Alive: true, Pulling: true, Architecture: "amd64",
		Labels: map[string]string{"zone": "confidential-zone"}, Slots: 8, ReservedSlots: 2, BusySlots: 3, StartedAt: x.StartedAt, RenewedAt: x.RenewedAt,
		Runtimes: []contract.ExecutorRuntime{{Name: "offline", Image: "airlock/offline:1"}, {Name: "claude", Image: "airlock/claude:1", Unavailable: "no such image"}},
	}, x)
	rest := s.do(http.MethodGet, "/executors?limit=2&cursor="+list.NextCursor, "", asOperator...)
	require.Contains(t, string(rest.body), "rack 8")
	require.NotContains(t, string(rest.body), "prc_2.1")
	require.NotContains(t, string(rest.body), "confidential-token")

	const path = "POST /executors/rack%207%2Fa"
	require.True(t, call[contract.Executor](s, path+"/drain", http.StatusAccepted, "", asOperator...).Draining)
	for process, want := range map[string]int{"prc_1": 1, "prc_2": 1, "prc_3": 0} {
		require.Len(t, s.signals(process), want, process)
	}
	listed := call[contract.ExecutorList](s, "GET /executors", http.StatusOK, "", asOperator...).Executors
	require.Equal(t, []bool{true, true, false}, []bool{listed[0].Draining, listed[1].Draining, listed[2].Draining})
	resumed := call[contract.Executor](s, path+"/resume", http.StatusAccepted, "", asOperator...)
	require.False(t, resumed.Draining)
	require.Empty(t, resumed.Reason)
	_, err := s.firestore.Client.Collection("sessions").Doc("prc_2.1").Update(t.Context(), []firestore.Update{
		{Path: "executor.draining", Value: true}, {Path: "executor.pulling", Value: false}, {Path: "executor.reason", Value: "an operator drains the executor"},
	})
	require.NoError(t, err)
	resumed = call[contract.Executor](s, path+"/resume", http.StatusAccepted, "", asOperator...)
	require.False(t, resumed.Draining)
	require.Equal(t, "takes executions with its next renewal", resumed.Reason)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodPost, "/executors/rack/drain", "", asOperator...).StatusCode)

	_, err = s.firestore.Client.Collection("sessions").Doc("prc_3.1").Update(t.Context(), []firestore.Update{{Path: "renewedAt", Value: time.Now().Add(-time.Minute)}})
	require.NoError(t, err)
	listed = call[contract.ExecutorList](s, "GET /executors", http.StatusOK, "", asOperator...).Executors
	require.False(t, listed[2].Alive)
	require.Equal(t, http.StatusNotFound, s.do(http.MethodPost, "/executors/rack%208/drain", "", asOperator...).StatusCode, "an executor that has died")
}

func TestStatus(t *testing.T) {
	s := startServer(t)
	checks := func(status contract.InstallationStatus) map[string]bool {
		found := map[string]bool{}
		for _, check := range status.Checks {
			found[check.Name] = check.Ok
			require.Equal(t, check.Ok, check.Detail == "", check.Name)
		}
		return found
	}
	agent := s.createAgent()
	s.runAgent(agent.Id)
	empty := call[contract.InstallationStatus](s, "GET /status", http.StatusOK, "", asOperator...)
	require.Equal(t, map[string]bool{"firestore": true, "pubsub": true, "leader": false, "executors": false, "dispatchers": false}, checks(empty))
	require.Equal(t, contract.Work{Waiting: contract.LaneCounts{Interactive: 1}, CountLimit: countLimit}, empty.Work)
	require.Empty(t, empty.Fleet.Leader)

	s.addFleet("prc_1")
	s.runAgent(agent.Id)
	led := call[contract.InstallationStatus](s, "GET /status", http.StatusOK, "", asOperator...)
	require.Equal(t, map[string]bool{"firestore": true, "pubsub": true, "leader": true, "executors": true, "dispatchers": true}, checks(led))
	require.Equal(t, contract.FleetStatus{
		Leader: "prc_1", RenewedAt: led.Fleet.RenewedAt, Executors: 1, Apis: 1, Partitions: fleet.Partitions, OwnedPartitions: fleet.Partitions,
		Slots: contract.LaneCounts{Interactive: 8, Batch: 6}, Runtimes: []string{"offline"},
	}, led.Fleet)
	require.Equal(t, empty.Work, led.Work, "one count serves all requests for some seconds")

	_, err := s.firestore.Client.Collection("system").Doc("fleet").Update(t.Context(), []firestore.Update{{Path: "slots", Value: map[string]any{}}})
	require.NoError(t, err)
	drained := call[contract.InstallationStatus](s, "GET /status", http.StatusOK, "", asOperator...)
	require.Equal(t, map[string]bool{"firestore": true, "pubsub": true, "leader": true, "executors": false, "dispatchers": true}, checks(drained))
	require.Contains(t, drained.Checks[3].Detail, "No executor takes executions")

	_, err = s.firestore.Client.Collection("system").Doc("fleet").Update(t.Context(), []firestore.Update{{Path: "renewedAt", Value: time.Now().Add(-time.Minute)}})
	require.NoError(t, err)
	alone := call[contract.InstallationStatus](s, "GET /status", http.StatusOK, "", asOperator...)
	require.Equal(t, map[string]bool{"firestore": true, "pubsub": true, "leader": false, "executors": false, "dispatchers": false}, checks(alone))
}

func TestCaller(t *testing.T) {
	g := startWithAPIKeys(t)
	ada := g.issueKey("ada", tenant.ScopeRead)
	require.Equal(t, contract.Caller{Tenant: "ada", Scopes: []contract.CallerScope{contract.CallerRead}},
		call[contract.Caller](g.server, "GET /me", http.StatusOK, "", ada...))
	require.Equal(t, contract.Caller{Scopes: []contract.CallerScope{contract.CallerOperator}},
		call[contract.Caller](g.server, "GET /me", http.StatusOK, "", bearerHeader(operatorSecret)...))
	require.Equal(t, http.StatusUnauthorized, g.do(http.MethodGet, "/me", "", bearerHeader(operatorSecret[1:])...).StatusCode)
}

// Without authentication a caller is the operator if it says so, unless the operator has a key.
func TestOperatorWithoutAuthentication(t *testing.T) {
	saysSo := []string{operatorHeader, "true", tenantHeader, "ada"}
	believing := startServer(t)
	require.Equal(t, http.StatusOK, believing.do(http.MethodGet, "/tenants", "", saysSo...).StatusCode)
	require.Equal(t, http.StatusForbidden, believing.do(http.MethodGet, "/agents", "", saysSo...).StatusCode)
	require.Equal(t, http.StatusForbidden, believing.do(http.MethodGet, "/tenants", "").StatusCode)

	keyed := startServer(t, func(c *Config, _ *store.Store) { c.Auth, c.OperatorKey = DevAuthenticator{}, testOperatorKey(t) })
	require.Equal(t, http.StatusForbidden, keyed.do(http.MethodGet, "/tenants", "", saysSo...).StatusCode)
	require.Equal(t, http.StatusOK, keyed.do(http.MethodGet, "/tenants", "", bearerHeader(operatorSecret)...).StatusCode)
}

// The operator has a rate limit of its own: no tenant can use it up.
func TestOperatorRateLimit(t *testing.T) {
	g := startWithAPIKeys(t, func(c *Config, _ *store.Store) { c.Limits.Requests = ratelimit.NewBuckets(0.001, 2, nil) })
	ada := g.issueKey("ada", tenant.AllScopes...)
	for _, want := range []int{http.StatusOK, http.StatusOK, http.StatusTooManyRequests} {
		require.Equal(t, want, g.do(http.MethodGet, "/agents", "", ada...).StatusCode)
	}
	for _, want := range []int{http.StatusOK, http.StatusOK, http.StatusTooManyRequests} {
		require.Equal(t, want, g.do(http.MethodGet, "/executors", "", bearerHeader(operatorSecret)...).StatusCode)
	}
}
