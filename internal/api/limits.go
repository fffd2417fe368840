package api

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/ratelimit"
)

// Limits bound what clients may use of this process. The zero Limits limit nothing but time.
type Limits struct {
	Requests       *ratelimit.Buckets // requests of a tenant
	AuthFailures   *ratelimit.Buckets // failed authentications from a network address
	MaxConnections int                // open at the same time; 0: no limit
	TrustedProxies []*net.IPNet       // proxies whose X-Forwarded-For is believed
	// ClientTimeout is how long a client may take to send its headers, to send a body (see ratelimit.Body), and to read
	// 64 KiB of a response; 0: 30 s.
	ClientTimeout time.Duration
}

func (l *Limits) clientTimeout() time.Duration { return cmp.Or(l.ClientTimeout, 30*time.Second) }

const (
	// maxHeaderBytes bounds the request line and the headers together.
	maxHeaderBytes = 32 << 10
	// maxHeaders bounds the number of headers.
	maxHeaders = 100
	// idleTimeout is how long a connection without a request stays open.
	idleTimeout = 2 * time.Minute
)

// ipExtractor returns how to find the address of a client.
func (l *Limits) ipExtractor() echo.IPExtractor {
	if len(l.TrustedProxies) == 0 {
		return echo.ExtractIPDirect()
	}
	trusted := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, network := range l.TrustedProxies {
		trusted = append(trusted, echo.TrustIPRange(network))
	}
	return echo.ExtractIPFromXFFHeader(trusted...)
}

// clientNetwork returns what counts as one client address: an IPv4 address, or the /64 network of an IPv6 address,
// because one client has all addresses of such a network.
func clientNetwork(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Unmap().Is4() {
		return address
	}
	network, _ := addr.Prefix(64) // fails only for more than 128 bits
	return network.String()
}

// limitHeaders rejects a request with more headers than any client needs.
func limitHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		count := 0
		for _, values := range c.Request().Header {
			count += len(values)
		}
		if count > maxHeaders {
			return echo.NewHTTPError(http.StatusRequestHeaderFieldsTooLarge)
		}
		return next(c)
	}
}

// limitBodyTime bounds the time that a client takes to send a body. The deadline applies to the body only: a deadline
// of the whole connection would end long polls. The context of the request ends when the client disconnects during its
// body.
func (s *Server) limitBodyTime(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Body == nil || r.Body == http.NoBody {
			return next(c)
		}
		// net/http ends the context of a request when its client disconnects, but notices that only after the body. This
		// context ends with that one at the latest: not here, because the error is handled outside.
		ctx, cancel := context.WithCancel(r.Context())
		r = r.WithContext(ctx)
		r.Body = ratelimit.NewBody(r.Body, http.NewResponseController(c.Response()), s.config.Limits.clientTimeout(), cancel)
		c.SetRequest(r)
		return next(c)
	}
}
