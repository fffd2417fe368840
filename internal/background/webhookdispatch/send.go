package webhookdispatch

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/netguard"
)

// maxResponseRead is how many bytes of a response are read: enough that most connections can be used again. The body is
// not kept.
const maxResponseRead = 4 << 10

// newClient returns a client that follows no redirects, because they could lead anywhere.
func newClient(guard netguard.Guard) *http.Client {
	t := netguard.NewTransport(guard)
	t.MaxIdleConnsPerHost = maxPerTenantHost
	t.MaxIdleConns = maxConcurrent
	t.IdleConnTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = 16 << 10
	return &http.Client{
		Timeout:       webhook.AttemptTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     t,
	}
}

// send signs and sends the request of one attempt; now is the time in its signature. The result is what the tenant may
// know, the error is for the log.
func (d *Dispatcher) send(ctx context.Context, delivery *webhook.Delivery, secrets webhook.Secrets, now time.Time) (webhook.AttemptResult, error) {
	signature, err := secrets.Signature(delivery.ID, now, delivery.Body)
	if err != nil {
		return webhook.AttemptResult{Reason: webhook.Unreachable}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, delivery.URL, strings.NewReader(delivery.Body))
	if err != nil {
		return webhook.AttemptResult{Reason: webhook.Unreachable}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", d.config.UserAgent)
	r.Header.Set("Webhook-Id", delivery.ID)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", signature)
	response, err := d.client.Do(r)
	if err != nil {
		return webhook.AttemptResult{Reason: classifyError(err)}, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxResponseRead) // the status alone decides
	return webhook.AttemptResult{Status: response.StatusCode}, nil
}

// classifyError translates an error of the client for the tenant.
func classifyError(err error) webhook.Reason {
	var (
		blocked     netguard.BlockedError
		certificate *tls.CertificateVerificationError
		network     net.Error
	)
	switch {
	case errors.As(err, &blocked):
		return webhook.AddressRefused
	case errors.As(err, &certificate):
		return webhook.BadCertificate
	case errors.As(err, &network) && network.Timeout():
		return webhook.TimedOut
	default:
		return webhook.Unreachable
	}
}
