package quota

import (
	"errors"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/signal"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/membership/membershiptest"
	"github.com/airlock-run/airlock/internal/store"
)

// submitOne submits a run and reports whether this process must publish it.
func (h *harness) submitOne(agentID string) (e execution.Execution, direct bool) {
	h.t.Helper()
	ch, err := h.SubmitRun(h.t.Context(), store.RunRequest{Tenant: ada, AgentID: agentID, Input: "x"})
	require.NoError(h.t, err)
	return ch.Execution, len(ch.Notify) > 0
}

func (h *harness) setTenant(fields map[string]any) {
	h.t.Helper()
	_, err := h.firestore.Client.Doc("tenants/"+ada).Set(h.t.Context(), fields, firestore.MergeAll)
	require.NoError(h.t, err)
}

func (h *harness) awaitWaiting() {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		stored, err := h.store.Tenant(h.t.Context(), ada)
		return err == nil && stored.Backlogged && stored.Backlog.Interactive == tenant.LaneWaiting
	}, waitTimeout, 10*time.Millisecond)
}

// A process publishes as many of a tenant's executions itself as there are slots. The others wait for the dispatcher,
// which is told once.
func TestBurstWaitsForDispatcher(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{})
	woken := make(chan signal.Signal, 100)
	h.store.OpenInbox(dispatcher, func(s signal.Signal) { woken <- s })
	a := h.createAgent(ada)
	var refs []execution.Ref
	published := 0
	for range 3 * slots {
		e, direct := h.submitOne(a.ID)
		if direct {
			published++
		}
		refs = append(refs, e.Ref())
	}
	requireDirect(t, slots, published)
	require.Equal(t, ada, (<-woken).Tenant)
	h.awaitWaiting()
	e, direct := h.submitOne(a.ID)
	require.False(t, direct)
	require.Equal(t, e.StartDeadline(), *e.Due, "nobody looks at it while it waits")
	require.Less(t, len(woken), slots, "the dispatcher knows that executions wait")

	// Nothing waits any more, and what this process has published has ended.
	for _, ref := range append(refs, e.Ref()) {
		h.requireClaimed(ref)
		h.finish(ref, 0)
	}
	h.setTenant(map[string]any{"backlogged": false, "backlog": map[string]any{"interactive": ""}})
	require.Eventually(t, func() bool {
		h.setTenant(map[string]any{"backlogged": false, "backlog": map[string]any{"interactive": ""}})
		_, direct := h.submitOne(a.ID)
		return direct
	}, waitTimeout, 100*time.Millisecond, "the unfinished ones are counted again")
}

// A steady load below the number of slots never waits for a dispatcher.
func TestSteadyLoadIsPublishedDirectly(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{})
	a := h.createAgent(ada)
	for i := range 5 * slots {
		e, direct := h.submitOne(a.ID)
		require.True(t, direct, i)
		h.requireClaimed(e.Ref())
		h.finish(e.Ref(), 0)
		h.direct.mu.Lock()
		h.direct.counts[ada].countedAt = time.Time{} // as if a second had passed
		h.direct.mu.Unlock()
		require.Eventually(t, func() bool {
			h.direct.mu.Lock()
			defer h.direct.mu.Unlock()
			return !h.direct.counts[ada].counting
		}, waitTimeout, time.Millisecond)
	}
}

// requireDirect requires that a process has published no more itself than it may. It may publish fewer: a count can
// contain executions that are counted as published since.
func requireDirect(t *testing.T, limit, published int) {
	t.Helper()
	require.LessOrEqual(t, published, limit)
	require.GreaterOrEqual(t, published, (limit+1)/2)
}

// changeFleet returns a step of a test that changes the fleet.
func changeFleet(f func(*fleet.Fleet)) func(*membershiptest.View) {
	return func(v *membershiptest.View) { v.Change(f) }
}

func TestWhoPublishes(t *testing.T) {
	t.Parallel()
	two := 2
	for name, test := range map[string]struct {
		tenant  map[string]any
		limits  Limits
		fleet   func(*membershiptest.View)
		direct  int // of six submissions
		timeDue time.Duration
	}{
		"nothing known":                    {fleet: func(v *membershiptest.View) { v.Fail(errors.New("on purpose")) }},
		"paused":                           {tenant: map[string]any{"settings": map[string]any{"paused": true}}},
		"no executor has the runtime":      {fleet: changeFleet(func(f *fleet.Fleet) { f.Pools[0].Runtimes = []string{"other"} })},
		"others wait":                      {tenant: map[string]any{"backlogged": true, "backlog": map[string]any{"interactive": "waiting"}}},
		"the last ones are being drained":  {tenant: map[string]any{"backlogged": true, "backlog": map[string]any{"interactive": "draining"}}, direct: slots},
		"running limit":                    {limits: Limits{Running: 3}, direct: 3},
		"running limit of the tenant":      {tenant: map[string]any{"settings": map[string]any{"maxRunning": two}}, limits: Limits{Running: 3}, direct: 2},
		"running limit, and a batch waits": {tenant: map[string]any{"backlogged": true, "backlog": map[string]any{"batch": "waiting"}}, limits: Limits{Running: 3}},
		"a batch waits":                    {tenant: map[string]any{"backlogged": true, "backlog": map[string]any{"batch": "waiting"}}, direct: slots},
		"two APIs":                         {fleet: changeFleet(func(f *fleet.Fleet) { f.APIs = 2 }), direct: slots / 2},
		"one slot":                         {fleet: changeFleet(func(f *fleet.Fleet) { f.Pools[0].Interactive.Slots = 1 }), direct: minDirect},
		"no executor":                      {fleet: changeFleet(func(f *fleet.Fleet) { f.Pools = nil })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, test.limits)
			if test.tenant != nil {
				h.setTenant(test.tenant)
			}
			if test.fleet != nil {
				test.fleet(h.fleet)
			}
			a := h.createAgent(ada)
			direct := 0
			for range 6 {
				if _, ok := h.submitOne(a.ID); ok {
					direct++
				}
			}
			requireDirect(t, test.direct, direct)
		})
	}
}

// The dispatcher learns at the end what it has not been told.
func TestDispatcherIsWokenAtTheEnd(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{})
	e := New(Config{Store: h.store, Fleet: h.fleet, Log: h.log})
	e.Wake(ada, execution.LaneBatch)
	ctx, cancel := contextThatHasEnded(t)
	defer cancel()
	require.NoError(t, e.Run(ctx))
	stored, err := h.store.Tenant(t.Context(), ada)
	require.NoError(t, err)
	require.Equal(t, tenant.LaneWaiting, stored.Backlog.Batch)
}
