package webhookdispatch

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/strict"
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const (
	testTenant   = "ada"
	waitTimeout  = 2 * time.Minute // only a failing test waits this long
	pollInterval = 5 * time.Millisecond
)

// loopbackGuard lets dispatchers reach the receivers of the tests.
var loopbackGuard = netguard.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// fixture is a real store over its own Firestore emulator, whose clock the test can advance.
type fixture struct {
	*store.Store
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	f := strict.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return fixture{Store: store.New(f.Client), firestore: f, clock: clock}
}

// run runs a new dispatcher until the test ends or stop is called.
func (f fixture) run(t *testing.T, guard netguard.Guard) (d *Dispatcher, stop func()) {
	t.Helper()
	d = New(Config{Store: f.Store, Interval: 5 * time.Millisecond, Guard: guard, UserAgent: "Airlock/test", Log: zaptest.NewLogger(t)})
	d.client.Timeout = 0 // a test decides how long its receiver hangs
	return d, f.startDispatcher(t, d)
}

// startDispatcher runs a dispatcher until the test ends or stop is called.
func (f fixture) startDispatcher(t *testing.T, d *Dispatcher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

// finishExecution submits a run with a webhook, cancels it, and returns its delivery.
func (f fixture) finishExecution(t *testing.T, tenant, url string) webhook.Ref {
	t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Instructions: "Count", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	ch, err := f.SubmitRun(t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "one", Webhook: url})
	require.NoError(t, err)
	_, err = f.Apply(t.Context(), ch.Execution.Ref(), execution.CancelRequested{})
	require.NoError(t, err)
	return webhook.Ref{Tenant: tenant, ID: webhook.DeliveryID(ch.Execution.ID)}
}

func (f fixture) delivery(t *testing.T, ref webhook.Ref) webhook.Delivery {
	t.Helper()
	d, err := f.Delivery(t.Context(), ref)
	require.NoError(t, err)
	return d
}

// await waits until the condition holds for a delivery.
func (f fixture) await(t *testing.T, ref webhook.Ref, holds func(webhook.Delivery) bool) webhook.Delivery {
	t.Helper()
	var d webhook.Delivery
	require.Eventually(t, func() bool {
		var err error
		d, err = f.Delivery(t.Context(), ref)
		return err == nil && holds(d)
	}, waitTimeout, pollInterval)
	return d
}

func hasState(s webhook.State) func(webhook.Delivery) bool {
	return func(d webhook.Delivery) bool { return d.State == s }
}

// request is one that a receiver has received.
type request struct {
	header http.Header
	body   []byte
}

// startReceiver starts a receiver. It sends each request to received before it responds.
func startReceiver(t *testing.T, respond http.HandlerFunc) (url string, received <-chan request) {
	t.Helper()
	requests := make(chan request, 2000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			requests <- request{header: r.Header, body: body}
		}
		respond(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func next(t *testing.T, received <-chan request) request {
	t.Helper()
	select {
	case r := <-received:
		return r
	case <-time.After(waitTimeout):
		t.Fatal("no request was received")
		return request{}
	}
}

func respondWith(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}
