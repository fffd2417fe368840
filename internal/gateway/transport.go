package gateway

import (
	"net/http"
	"time"

	"github.com/airlock-run/airlock/internal/netguard"
)

// newTransport returns the transport for upstream requests. It follows no redirects, because it is used without an
// http.Client. Responses are not compressed, because the token counter has to read them.
func newTransport(c Config) *http.Transport {
	var guard netguard.Guard
	if c.AllowPrivateUpstream || isLocal(c.Upstream.Hostname()) {
		guard.Allow = netguard.AllAddresses()
	}
	t := netguard.NewTransport(guard)
	t.TLSClientConfig.RootCAs = c.RootCAs
	t.TLSHandshakeTimeout = 10 * time.Second
	t.MaxIdleConnsPerHost = 16
	t.IdleConnTimeout = 90 * time.Second
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}
