package netguard

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// dialTimeout bounds the resolution of a name and the connection to one of its addresses.
const dialTimeout = 10 * time.Second

// NewTransport returns a transport whose connections the guard checks. It uses no proxy from the environment, because
// the guard would see only the proxy's address. It neither asks for compression nor decompresses a response. The caller
// sets its limits and time-outs before the first request.
func NewTransport(guard Guard) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, ControlContext: guard.Control}
	return &http.Transport{
		Proxy:              nil,
		DialContext:        dialer.DialContext,
		DisableCompression: true,
		ForceAttemptHTTP2:  true,
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12},
	}
}
