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
)

func TestMain(m *testing.M) { emulatortest.Main(m) }

const testTenant = "ada"

// local lets couriers reach the tests' receivers.
var loopbackGuard = netguard.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// fixture is a store over a Firestore of its own, whose clock the test may advance.
type fixture struct {
	*store.Store
	firestore *emulatortest.Firestore
	clock     *emulatortest.Clock
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	clock := new(emulatortest.Clock)
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	return fixture{Store: store.New(f.Client), firestore: f, clock: clock}
}

// run runs a courier until the test, or stop, ends it.
func (f fixture) run(t *testing.T, guard netguard.Guard) (c *Dispatcher, stop func()) {
	t.Helper()
	c = New(Config{Interval: 5 * time.Millisecond, Guard: guard, UserAgent: "Airlock/test"}, f.Store, zaptest.NewLogger(t))
	c.client.Timeout = 0 // a receiver that hangs does so for as long as its test needs
	return c, f.startDispatcher(t, c)
}

// keep has a courier run until the test, or stop, ends it.
func (f fixture) startDispatcher(t *testing.T, c *Dispatcher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
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

// end makes an execution with a webhook that has ended, and names its delivery.
func (f fixture) finishExecution(t *testing.T, tenant, url string) webhook.Ref {
	t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Instructions: "Count", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, f.CreateAgent(t.Context(), &a))
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

// await waits until a delivery is as it should be.
func (f fixture) await(t *testing.T, ref webhook.Ref, holds func(webhook.Delivery) bool) webhook.Delivery {
	t.Helper()
	var d webhook.Delivery
	require.Eventually(t, func() bool {
		var err error
		d, err = f.Delivery(t.Context(), ref)
		return err == nil && holds(d)
	}, time.Minute, 5*time.Millisecond)
	return d
}

func hasState(s webhook.State) func(webhook.Delivery) bool {
	return func(d webhook.Delivery) bool { return d.State == s }
}

// request is one that a receiver has got.
type request struct {
	header http.Header
	body   []byte
}

// receive starts a receiver, and tells of each request before it is answered.
func startReceiver(t *testing.T, answer http.HandlerFunc) (url string, received <-chan request) {
	t.Helper()
	requests := make(chan request, 2000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			requests <- request{header: r.Header, body: body}
		}
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func next(t *testing.T, received <-chan request) request {
	t.Helper()
	select {
	case r := <-received:
		return r
	case <-time.After(time.Minute):
		t.Fatal("no request comes")
		return request{}
	}
}

func respondWith(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}
