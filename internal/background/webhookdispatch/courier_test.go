package webhookdispatch

import (
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
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/netguard"
)

func TestAReceiverOfTheStandardVerifiesWhatItGets(t *testing.T) {
	t.Parallel()
	f := start(t)
	url, got := receive(t, status(http.StatusNoContent))
	f.run(t, local)
	ref := f.end(t, ada, url)
	d := f.await(t, ref, in(webhook.Delivered))
	require.Equal(t, 1, d.Attempt)
	require.Equal(t, http.StatusNoContent, d.Last.Status)

	r := next(t, got)
	secrets, err := f.WebhookSecrets(t.Context(), ada)
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
	require.Equal(t, d.Subject, message.Data.ExecutionID)
}

func TestRetriesGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	f := start(t)
	var healthy atomic.Bool
	url, got := receive(t, func(w http.ResponseWriter, _ *http.Request) {
		if !healthy.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	_, stop := f.run(t, local)
	ref := f.end(t, ada, url)
	f.await(t, ref, func(d webhook.Delivery) bool { return d.Last.Status == http.StatusServiceUnavailable })
	first := next(t, got)
	f.clock.Advance(time.Minute)
	second := next(t, got) // to stop before would cut it short
	stop()

	healthy.Store(true)
	f.clock.Advance(time.Hour)
	require.Equal(t, webhook.Pending, f.delivery(t, ref).State)
	f.run(t, local)
	d := f.await(t, ref, in(webhook.Delivered))
	require.Equal(t, 3, d.Attempt)
	for _, again := range []request{second, next(t, got)} {
		require.Equal(t, first.body, again.body)
		require.Equal(t, first.header.Get("Webhook-Id"), again.header.Get("Webhook-Id"))
		require.NotEqual(t, first.header.Get("Webhook-Signature"), again.header.Get("Webhook-Signature"), "each attempt has its time")
	}
}

func TestAReceiverThatNeverAnswersIsGivenUpAndSeen(t *testing.T) {
	t.Parallel()
	f := start(t)
	url, got := receive(t, status(http.StatusInternalServerError))
	f.run(t, local)
	ref := f.end(t, ada, url)
	for attempt := 1; attempt <= webhook.MaxAttempts; attempt++ {
		f.await(t, ref, func(d webhook.Delivery) bool { return d.Attempt == attempt && (d.Due == nil || d.Last.Status != 0) })
		f.clock.Advance(13 * time.Hour)
	}
	d := f.await(t, ref, in(webhook.GivenUp))
	require.Equal(t, http.StatusInternalServerError, d.Last.Status)
	require.Len(t, got, webhook.MaxAttempts)
}

func TestAReceiverThatIsGoneIsNotAskedAgain(t *testing.T) {
	t.Parallel()
	f := start(t)
	url, got := receive(t, status(http.StatusGone))
	f.run(t, local)
	f.await(t, f.end(t, ada, url), in(webhook.Refused))
	require.Len(t, got, 1)
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	f := start(t)
	inside, got := receive(t, status(http.StatusOK))
	url, _ := receive(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, inside, http.StatusTemporaryRedirect)
	})
	f.run(t, local)
	d := f.await(t, f.end(t, ada, url), func(d webhook.Delivery) bool { return d.Last.Status != 0 })
	require.Equal(t, http.StatusTemporaryRedirect, d.Last.Status)
	require.Equal(t, webhook.Pending, d.State)
	require.Empty(t, got)
}

func TestAnEndlessAnswerIsNotRead(t *testing.T) {
	t.Parallel()
	f := start(t)
	url, _ := receive(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	})
	f.run(t, local)
	f.await(t, f.end(t, ada, url), in(webhook.Delivered))
}

// TestANameThatLeadsInwardsIsNotDialled is DNS rebinding: the name was fine when
// it was accepted, and what counts is where it leads when it is dialled.
func TestANameThatLeadsInwardsIsNotDialled(t *testing.T) {
	t.Parallel()
	f := start(t)
	url, got := receive(t, status(http.StatusOK))
	named := strings.Replace(url, "127.0.0.1", "localhost", 1)
	require.NoError(t, netguard.CheckURL(strings.Replace(named, "http:", "https:", 1), netguard.Guard{}))
	f.run(t, netguard.Guard{})
	for _, one := range []string{url, named} {
		d := f.await(t, f.end(t, ada, one), func(d webhook.Delivery) bool { return d.Last.Reason != "" })
		require.Equal(t, webhook.AddressRefused, d.Last.Reason)
	}
	require.Empty(t, got)
}

func TestReasonsAreToldApart(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.run(t, local)
	unknown := httptest.NewTLSServer(status(http.StatusOK))
	t.Cleanup(unknown.Close)
	closed := httptest.NewServer(nil)
	closed.Close()
	for url, want := range map[string]webhook.Reason{unknown.URL: webhook.BadCertificate, closed.URL: webhook.Unreachable} {
		d := f.await(t, f.end(t, ada, url), func(d webhook.Delivery) bool { return d.Last.Reason != "" })
		require.Equal(t, want, d.Last.Reason)
	}
}

// Two couriers have room for all of it at once, and so contend for each.
func TestTwoCouriersSendOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	sent := map[webhook.Ref]<-chan request{}
	for range mostPerTenant / mostPerHost {
		url, got := receive(t, status(http.StatusOK))
		for range mostPerHost {
			sent[f.end(t, ada, url)] = got
		}
	}
	f.run(t, local)
	f.run(t, local)
	for ref := range sent {
		require.Equal(t, 1, f.await(t, ref, in(webhook.Delivered)).Attempt)
	}
	for _, got := range sent {
		require.Len(t, got, mostPerHost)
	}
}

// TestPagesOfDeliveriesToASlowReceiverHoldNobodyUp: another tenant's webhook
// arrives while they are all due.
func TestPagesOfDeliveriesToASlowReceiverHoldNobodyUp(t *testing.T) {
	t.Parallel()
	f := start(t)
	release := make(chan struct{})
	slow, asked := receive(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	t.Cleanup(func() { close(release) })
	quick, _ := receive(t, status(http.StatusOK))

	one := f.delivery(t, f.end(t, ada, slow))
	deliveries := f.firestore.Client.Collection("tenants").Doc(ada).Collection("deliveries")
	var storing errgroup.Group
	storing.SetLimit(16)
	for i := range 3 * page {
		d := one
		d.ID = webhook.ID(strconv.Itoa(i))
		storing.Go(func() error {
			_, err := deliveries.Doc(d.ID).Create(t.Context(), d)
			return err
		})
	}
	require.NoError(t, storing.Wait())
	f.run(t, local)
	for range mostPerHost {
		next(t, asked)
	}
	f.await(t, f.end(t, "bob", quick), in(webhook.Delivered))
	f.await(t, f.end(t, ada, quick), in(webhook.Delivered))
	require.Empty(t, asked, "a host has its share, and no more")
}

func TestAnOutageOfTheStoreIsSurvived(t *testing.T) {
	t.Parallel()
	f := start(t)
	url, _ := receive(t, status(http.StatusOK))
	ref := f.end(t, ada, url)
	f.firestore.Away()
	f.run(t, local)
	f.firestore.Back()
	f.await(t, ref, in(webhook.Delivered))
}
