package gateway

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/airlock-run/airlock/internal/netguard"
)

// newTransport makes the connection upstream. It follows no redirect (it is
// used as a RoundTripper, without a client), takes no proxy from the
// environment, and leaves answers as they are, because they have to be read
// to be metered.
func newTransport(s Settings) *http.Transport {
	var guard netguard.Guard
	if s.AllowPrivateUpstream || isLocal(s.Upstream.Hostname()) {
		guard.Allow = netguard.AllAddresses()
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, ControlContext: guard.Control}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.RootCAs},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}
