package gateway

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"github.com/airlock-run/airlock/internal/netguard"
)

// newTransport returns the transport for upstream requests. It follows no redirects, because it is used without an
// http.Client. It ignores the proxy variables of the environment. It does not decompress responses and does not ask for
// compression, because the token counter has to read them.
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
