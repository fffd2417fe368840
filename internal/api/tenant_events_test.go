package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/quota/quotatest"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/usagewriter"
	"github.com/airlock-run/airlock/internal/watch"
)

// anotherProcess starts a second API over the same Firestore. Both receive their inboxes.
func (s server) anotherProcess() server {
	s.t.Helper()
	other := s
	st := &countingStore{Store: store.New(s.firestore.Client)}
	config := s.config
	config.Stores, config.Submitter = StoresOf(st.Store), quotatest.Unlimited{Store: st.Store}
	config.Stores.Executions = st
	config.Watch = watch.New(st.Store, id.New(id.Process), zap.NewNop())
	other.Server, other.store = New(config), st
	httpServer := httptest.NewServer(other.Handler())
	s.t.Cleanup(httpServer.Close)
	other.url = httpServer.URL
	for _, r := range []*watch.Registry{s.watchers, other.watchers} {
		done := make(chan struct{})
		go func() { defer close(done); _ = r.Run(s.t.Context()) }()
		s.t.Cleanup(func() { <-done })
	}
	return other
}

// awaitEvent returns the next event of a stream.
func awaitEvent(t *testing.T, events <-chan receivedEvent) receivedEvent {
	t.Helper()
	select {
	case e, ok := <-events:
		require.True(t, ok, "the stream has ended")
		return e
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no event")
		return receivedEvent{}
	}
}

func awaitChange(t *testing.T, events <-chan receivedEvent) (ch contract.ChangeEvent, eventID string) {
	t.Helper()
	e := awaitEvent(t, events)
	require.Equal(t, "change", e.event)
	require.NoError(t, json.Unmarshal([]byte(e.data), &ch))
	return ch, e.id
}

func TestTenantEventsShowOwnChangesOnly(t *testing.T) {
	s := startServer(t)
	worker := s.anotherProcess()
	bob := []string{"X-User-Id", "bob"}
	own, others := s.streamEvents("/events"), s.streamEvents("/events", bob...)
	require.NotEmpty(t, awaitEvent(t, own).id, "the first ID says where the stream begins")
	awaitEvent(t, others)

	agent := s.createAgent()
	e := execution.Ref{Tenant: defaultTenant, ID: s.runAgent(agent.Id).ExecutionId}
	bobs := execution.Ref{Tenant: "bob", ID: s.runAgent(s.createAgent(bob...).Id, bob...).ExecutionId}
	for _, ref := range []execution.Ref{e, bobs} {
		worker.apply(ref, execution.CancelRequested{})
	}
	ch, _ := awaitChange(t, own)
	require.Equal(t, contract.StatusQueued, ch.Status)
	ch, _ = awaitChange(t, own)
	require.Equal(t, contract.ChangeEvent{
		ExecutionId: e.ID, Kind: "run", Status: "canceled", AgentId: agent.Id, At: ch.At,
	}, ch)
	require.WithinDuration(t, time.Now(), ch.At, time.Minute)
	awaitChange(t, others)
	ch, _ = awaitChange(t, others)
	require.Equal(t, bobs.ID, ch.ExecutionId)
	require.Empty(t, own)
}

func TestTenantEventsResume(t *testing.T) {
	s := startServer(t)
	other := s.anotherProcess()
	agent := s.createAgent()
	first := s.streamEvents("/events")
	start := awaitEvent(t, first).id
	var refs []execution.Ref
	for range 3 {
		refs = append(refs, execution.Ref{Tenant: defaultTenant, ID: s.runAgent(agent.Id).ExecutionId})
	}
	_, afterFirst := awaitChange(t, first)

	resumed := s.streamEvents("/events", "Last-Event-ID", afterFirst)
	require.Equal(t, afterFirst, awaitEvent(t, resumed).id)
	for _, want := range refs[1:] {
		ch, _ := awaitChange(t, resumed)
		require.Equal(t, want.ID, ch.ExecutionId)
	}
	// Another process, or a client that was away for too long.
	require.Equal(t, "reload", awaitNamed(t, other.streamEvents("/events", "Last-Event-ID", afterFirst)).event)
	require.Equal(t, "reload", awaitNamed(t, s.streamEvents("/events", "Last-Event-ID", "nonsense")).event)
	for i := range 1100 {
		require.NoError(t, s.store.SendSignals(t.Context(), signal.Signal{
			To: s.watchers.Process(), Kind: signal.KindChange, Tenant: defaultTenant, Change: &signal.Change{ExecutionID: fmt.Sprint(i)},
		}))
	}
	require.Equal(t, "reload", awaitNamed(t, s.streamEvents("/events", "Last-Event-ID", start)).event)
}

// awaitNamed skips the ID with which a stream begins.
func awaitNamed(t *testing.T, events <-chan receivedEvent) receivedEvent {
	t.Helper()
	for {
		if e := awaitEvent(t, events); e.event != "" {
			return e
		}
	}
}

// The soft limits of a tenant and of an agent are in the tenant's stream, once, also at the process that notices them.
func TestTenantEventsWarnOfBudgets(t *testing.T) {
	s := startServer(t)
	worker := s.anotherProcess()
	streams := []<-chan receivedEvent{s.streamEvents("/events"), worker.streamEvents("/events")}
	bobs := s.streamEvents("/events", "X-User-Id", "bob")
	for _, events := range append(streams, bobs) {
		awaitEvent(t, events)
	}
	agent := call[contract.Agent](s, "POST /agents", http.StatusCreated, `{"name":"A","instructions":"Count","dailyBudget":{"usd":10,"softUsd":5}}`)
	for _, costUSD := range []float64{4, 5, 0.5, 1.5} { // nothing, both soft limits, nothing again, both hard limits
		ref := execution.Ref{Tenant: defaultTenant, ID: s.runAgent(agent.Id).ExecutionId}
		worker.apply(ref, execution.Claimed{Executor: "x", Session: "prc_x.1", ClaimID: ref.ID})
		worker.apply(ref, execution.JobEnded{Session: "prc_x.1", Attempt: 1, Ending: execution.Ending{
			Status: execution.Succeeded, Result: &execution.Result{Text: "2"}, Usage: execution.Usage{CostUSD: costUSD},
		}})
		usagewriter.Start(t.Context(), usagewriter.Config{Store: worker.store, Defaults: tenant.Limits{MaxDailyUSD: 10, SoftLimit: 0.8}, Log: zap.NewNop()})()
	}
	last := s.runAgent(agent.Id).ExecutionId
	for _, events := range streams {
		var warnings []contract.BudgetWarningEvent
		for {
			e := awaitEvent(t, events)
			if e.event == "budget_warning" {
				var w contract.BudgetWarningEvent
				require.NoError(t, json.Unmarshal([]byte(e.data), &w))
				require.WithinDuration(t, time.Now(), w.At, time.Minute)
				require.Equal(t, usage.DayOf(w.At), w.Day)
				w.At, w.Day = time.Time{}, ""
				warnings = append(warnings, w)
			}
			if strings.Contains(e.data, last) {
				break
			}
		}
		require.ElementsMatch(t, []contract.BudgetWarningEvent{
			{Scope: contract.BudgetScopeTenant, LimitUsd: 8, SoftLimit: 0.8, SpentUsd: 9},
			{Scope: contract.BudgetScopeAgent, AgentId: agent.Id, LimitUsd: 5, SoftLimit: 0.5, SpentUsd: 9},
		}, warnings)
	}
	require.Empty(t, bobs)
}

// No change and no client costs a read of an execution.
func TestTenantEventsReadNoExecutions(t *testing.T) {
	s := startServer(t)
	agent := s.createAgent()
	ref := execution.Ref{Tenant: defaultTenant, ID: s.runAgent(agent.Id).ExecutionId}
	var streams []<-chan receivedEvent
	for range 5 {
		streams = append(streams, s.streamEvents("/events"))
		awaitEvent(t, streams[len(streams)-1])
	}
	s.apply(ref, execution.CancelRequested{})
	for _, events := range streams {
		ch, _ := awaitChange(t, events)
		require.Equal(t, ref.ID, ch.ExecutionId)
	}
	require.Zero(t, s.store.reads.Load())
}

// The end reaches each process that has a client, once, and nobody else.
func TestLongPollsOfSeveralProcesses(t *testing.T) {
	s := startServer(t)
	other, worker := s.anotherProcess(), store.New(s.firestore.Client)
	watched, unwatched := s.runAgent(s.createAgent().Id), s.runAgent(s.createAgent().Id)
	ref := execution.Ref{Tenant: defaultTenant, ID: watched.ExecutionId}
	for _, r := range []execution.Ref{ref, {Tenant: defaultTenant, ID: unwatched.ExecutionId}} {
		_, err := worker.Apply(t.Context(), r, execution.Claimed{Executor: "x", Session: "prc_x.1", ClaimID: r.ID})
		require.NoError(t, err)
	}
	answers := make(chan response)
	const clients = 3
	for range clients {
		for _, process := range []server{s, other} {
			go func() { answers <- process.do(http.MethodGet, watched.Urls.Self+"?wait=60s", "") }()
		}
	}
	require.Eventually(t, func() bool {
		e, err := worker.Execution(t.Context(), ref)
		require.NoError(t, err)
		return len(e.Watchers.Ends) == 2 && s.watchers.Len() == clients && other.watchers.Len() == clients
	}, 20*time.Second, 10*time.Millisecond)
	for _, r := range []execution.Ref{ref, {Tenant: defaultTenant, ID: unwatched.ExecutionId}} {
		_, err := worker.Apply(t.Context(), r, execution.JobEnded{Session: "prc_x.1", Attempt: 1, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "2"}}})
		require.NoError(t, err)
	}
	for range 2 * clients {
		require.Contains(t, string((<-answers).body), `"succeeded"`)
	}
	sent, err := s.firestore.Client.CollectionGroup("items").Documents(t.Context()).GetAll()
	require.NoError(t, err)
	require.Len(t, sent, 2)
}
