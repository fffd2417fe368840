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

// readAnswer is how much of an answer is read, in bytes: enough that most
// connections can be used again. Nothing of it is kept.
const maxResponseRead = 4 << 10

// newClient follows no redirect, which could lead anywhere, and takes no proxy
// from the environment, which the guard could not see through.
func newClient(guard netguard.Guard) *http.Client {
	dialer := &net.Dialer{Timeout: webhook.AttemptTimeout, ControlContext: guard.Control}
	return &http.Client{
		Timeout:       webhook.AttemptTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost:    maxPerHost,
			MaxIdleConns:           maxConcurrent,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// send makes the request of one attempt, at now. The error is for the log; what
// the tenant may know of it is in the answer.
func (c *Dispatcher) send(ctx context.Context, d *webhook.Delivery, secrets webhook.Secrets, now time.Time) (webhook.AttemptResult, error) {
	signature, err := secrets.Signature(d.ID, now, d.Body)
	if err != nil {
		return webhook.AttemptResult{Reason: webhook.Unreachable}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, strings.NewReader(d.Body))
	if err != nil {
		return webhook.AttemptResult{Reason: webhook.Unreachable}, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", c.config.UserAgent)
	r.Header.Set("Webhook-Id", d.ID)
	r.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.Header.Set("Webhook-Signature", signature)
	response, err := c.client.Do(r)
	if err != nil {
		return webhook.AttemptResult{Reason: classifyError(err)}, err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxResponseRead) // the status has said it all
	return webhook.AttemptResult{Status: response.StatusCode}, nil
}

// reason translates why there was no answer.
func classifyError(err error) webhook.Reason {
	var (
		refused     netguard.BlockedError
		certificate *tls.CertificateVerificationError
		network     net.Error
	)
	switch {
	case errors.As(err, &refused):
		return webhook.AddressRefused
	case errors.As(err, &certificate):
		return webhook.BadCertificate
	case errors.As(err, &network) && network.Timeout():
		return webhook.TimedOut
	default:
		return webhook.Unreachable
	}
}
