package webhookdispatch

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/store"
)

func TestDeliveryVerifiesWithStandardWebhooks(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, got := startReceiver(t, respondWith(http.StatusNoContent))
	f.run(t, loopbackGuard)
	ref := f.finishExecution(t, testTenant, url)
	d := f.await(t, ref, hasState(webhook.Delivered))
	require.Equal(t, 1, d.Attempt)
	require.Equal(t, http.StatusNoContent, d.LastResult.Status)

	r := next(t, got)
	secrets, err := f.WebhookSecrets(t.Context(), testTenant)
	require.NoError(t, err)
	receiver, err := standard.NewWebhook(string(secrets.Current))
	require.NoError(t, err)
	require.NoError(t, receiver.Verify(r.body, r.header))
	require.Equal(t, "Airlock/test", r.header.Get("User-Agent"))
	require.Equal(t, "application/json", r.header.Get("Content-Type"))
	require.Equal(t, ref.ID, r.header.Get("Webhook-Id"))
	var message struct {
		Type string `json:"type"`
		Data struct {
			ExecutionID string `json:"executionId"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(r.body, &message))
	require.Equal(t, "execution.canceled", message.Type)
	require.Equal(t, d.SubjectID, message.Data.ExecutionID)
}

func TestRetriesContinueAfterRestart(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var healthy atomic.Bool
	url, got := startReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		if !healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	_, stop := f.run(t, loopbackGuard)
	ref := f.finishExecution(t, testTenant, url)
	f.await(t, ref, func(d webhook.Delivery) bool { return d.LastResult.Status == http.StatusServiceUnavailable })
	first := next(t, got)
	f.clock.Advance(time.Minute)
	second := next(t, got) // before the stop, which would interrupt the attempt
	stop()

	healthy.Store(true)
	f.clock.Advance(time.Hour)
	require.Equal(t, webhook.Pending, f.delivery(t, ref).State)
	f.run(t, loopbackGuard)
	d := f.await(t, ref, hasState(webhook.Delivered))
	require.Equal(t, 3, d.Attempt)
	for _, retry := range []request{second, next(t, got)} {
		require.Equal(t, first.body, retry.body)
		require.Equal(t, first.header.Get("Webhook-Id"), retry.header.Get("Webhook-Id"))
		require.NotEqual(t, first.header.Get("Webhook-Signature"), retry.header.Get("Webhook-Signature"), "each attempt signs its own time")
	}
}

func TestFailingReceiverExhaustsAttempts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, got := startReceiver(t, respondWith(http.StatusInternalServerError))
	f.run(t, loopbackGuard)
	ref := f.finishExecution(t, testTenant, url)
	for attempt := 1; attempt <= webhook.MaxAttempts; attempt++ {
		f.await(t, ref, func(d webhook.Delivery) bool {
			return d.Attempt == attempt && (d.Due == nil || d.LastResult.Status != 0)
		})
		f.clock.Advance(13 * time.Hour)
	}
	d := f.await(t, ref, hasState(webhook.Exhausted))
	require.Equal(t, http.StatusInternalServerError, d.LastResult.Status)
	require.Len(t, got, webhook.MaxAttempts)
}

func TestStatusGoneStopsRetries(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, got := startReceiver(t, respondWith(http.StatusGone))
	f.run(t, loopbackGuard)
	f.await(t, f.finishExecution(t, testTenant, url), hasState(webhook.Refused))
	require.Len(t, got, 1)
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	target, got := startReceiver(t, respondWith(http.StatusOK))
	url, _ := startReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target, http.StatusTemporaryRedirect)
	})
	f.run(t, loopbackGuard)
	d := f.await(t, f.finishExecution(t, testTenant, url), func(d webhook.Delivery) bool { return d.LastResult.Status != 0 })
	require.Equal(t, http.StatusTemporaryRedirect, d.LastResult.Status)
	require.Equal(t, webhook.Pending, d.State)
	require.Empty(t, got)
}

func TestEndlessResponseIsNotRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, _ := startReceiver(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	f.run(t, loopbackGuard)
	f.await(t, f.finishExecution(t, testTenant, url), hasState(webhook.Delivered))
}

// This is DNS rebinding: the host name passed the check when the webhook was accepted. What counts is the address at
// the time of the request.
func TestHostResolvingToPrivateAddressIsNotDialed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, got := startReceiver(t, respondWith(http.StatusOK))
	localhost := strings.Replace(url, "127.0.0.1", "localhost", 1)
	require.NoError(t, netguard.CheckURL(strings.Replace(localhost, "http:", "https:", 1), netguard.Guard{}))
	f.run(t, netguard.Guard{})
	for _, address := range []string{url, localhost} {
		d := f.await(t, f.finishExecution(t, testTenant, address), func(d webhook.Delivery) bool { return d.LastResult.Reason != "" })
		require.Equal(t, webhook.AddressRefused, d.LastResult.Reason)
	}
	require.Empty(t, got)
}

func TestConnectionErrorsAreClassified(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(t, loopbackGuard)
	untrusted := httptest.NewTLSServer(respondWith(http.StatusOK))
	t.Cleanup(untrusted.Close)
	closed := httptest.NewServer(nil)
	closed.Close()
	for url, want := range map[string]webhook.Reason{untrusted.URL: webhook.BadCertificate, closed.URL: webhook.Unreachable} {
		d := f.await(t, f.finishExecution(t, testTenant, url), func(d webhook.Delivery) bool { return d.LastResult.Reason != "" })
		require.Equal(t, want, d.LastResult.Reason)
	}
}

// Each dispatcher could send all deliveries at once, so the two compete for each delivery.
func TestTwoDispatchersSendOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	sent := map[webhook.Ref]<-chan request{}
	for range maxPerTenant / maxPerTenantHost {
		url, got := startReceiver(t, respondWith(http.StatusOK))
		for range maxPerTenantHost {
			sent[f.finishExecution(t, testTenant, url)] = got
		}
	}
	f.run(t, loopbackGuard)
	f.run(t, loopbackGuard)
	for ref := range sent {
		require.Equal(t, 1, f.await(t, ref, hasState(webhook.Delivered)).Attempt)
	}
	for _, got := range sent {
		require.Len(t, got, maxPerTenantHost)
	}
}

// Several pages of deliveries to a slow receiver are due. The webhooks of another tenant and of another host are sent.
func TestSlowReceiverDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	release := make(chan struct{})
	slow, received := startReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	quick, _ := startReceiver(t, respondWith(http.StatusOK))

	one := f.delivery(t, f.finishExecution(t, testTenant, slow))
	deliveries := f.firestore.Client.Collection("tenants").Doc(testTenant).Collection("deliveries")
	var storing errgroup.Group
	storing.SetLimit(16)
	for i := range 3 * pageSize {
		d := one
		d.ID = webhook.DeliveryID(strconv.Itoa(i))
		storing.Go(func() error {
			_, err := deliveries.Doc(d.ID).Create(t.Context(), d)
			return err
		})
	}
	require.NoError(t, storing.Wait())
	f.run(t, loopbackGuard)
	for range maxPerTenantHost {
		next(t, received)
	}
	f.await(t, f.finishExecution(t, "bob", quick), hasState(webhook.Delivered))
	f.await(t, f.finishExecution(t, testTenant, quick), hasState(webhook.Delivered))
	require.Empty(t, received, "a host gets no more than its share")
}

// Deliveries that cannot be decoded fill more than a page. They do not hold up the one behind them.
func TestDocumentsThatCannotBeDecodedDoNotBlockOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	quick, _ := startReceiver(t, respondWith(http.StatusOK))
	bad := f.finishExecution(t, testTenant, quick)
	deliveries := f.firestore.Client.Collection("tenants").Doc(testTenant).Collection("deliveries")
	snap, err := deliveries.Doc(bad.ID).Get(t.Context())
	require.NoError(t, err)
	fields := snap.Data()
	fields["attempt"], fields["url"], fields["id"] = "not a number", 7, 7
	var storing errgroup.Group
	storing.SetLimit(16)
	for i := range pageSize + 20 {
		storing.Go(func() error {
			_, err := deliveries.Doc(webhook.DeliveryID(strconv.Itoa(i))).Create(t.Context(), fields)
			return err
		})
	}
	require.NoError(t, storing.Wait())
	f.run(t, loopbackGuard)
	f.await(t, bad, hasState(webhook.Delivered))
	f.await(t, f.finishExecution(t, "bob", quick), hasState(webhook.Delivered))
}

// Two tenants use the same host. One tenant's receiver is slow and has more due than it may send at the same time.
func TestSlowReceiverDoesNotBlockOtherTenantsOfItsHost(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	release := make(chan struct{})
	url, received := startReceiver(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			return
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	for range 2 * maxPerTenantHost {
		f.finishExecution(t, testTenant, url+"/slow")
	}
	f.run(t, loopbackGuard)
	for range maxPerTenantHost {
		next(t, received)
	}
	f.await(t, f.finishExecution(t, "bob", url+"/quick"), hasState(webhook.Delivered))
}

// unwritableStore is a real store that cannot write one delivery.
type unwritableStore struct {
	*store.Store
	bad   webhook.Ref
	calls atomic.Int32
}

func (s *unwritableStore) UpdateDelivery(
	ctx context.Context, ref webhook.Ref, update func(*webhook.Delivery, time.Time) error,
) (webhook.Delivery, time.Time, error) {
	if ref == s.bad {
		s.calls.Add(1)
		return webhook.Delivery{}, time.Time{}, store.ErrUnavailable
	}
	return s.Store.UpdateDelivery(ctx, ref, update)
}

// A delivery that cannot be claimed is tried again after a back-off of its own, while the others are sent.
func TestDeliveryThatCannotBeClaimedBacksOffAlone(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, _ := startReceiver(t, respondWith(http.StatusOK))
	s := &unwritableStore{Store: f.Store, bad: f.finishExecution(t, testTenant, url)}
	d := New(Config{Store: s, Interval: 5 * time.Millisecond, Guard: loopbackGuard, UserAgent: "Airlock/test", Log: zaptest.NewLogger(t)})
	f.startDispatcher(t, d)
	for s.calls.Load() < 3 {
		f.await(t, f.finishExecution(t, testTenant, url), hasState(webhook.Delivered))
	}
}

func TestDeliveryResumesAfterStoreOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	url, _ := startReceiver(t, respondWith(http.StatusOK))
	ref := f.finishExecution(t, testTenant, url)
	f.firestore.Stop()
	f.run(t, loopbackGuard)
	f.firestore.Start()
	f.await(t, ref, hasState(webhook.Delivered))
}
