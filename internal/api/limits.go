package api

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/ratelimit"
)

// Limits bound what callers may ask of this process. The zero Limits do not.
type Limits struct {
	Requests       *ratelimit.Buckets // of a tenant
	AuthFailures   *ratelimit.Buckets // wrong credentials, of an address
	MaxConnections int                // at once; 0: any number
	TrustedProxies []*net.IPNet       // whose X-Forwarded-For is believed
	// Patience is how long a client may take to send its headers, to send a body
	// (of a large one: a piece), and to read a piece of an answer; 0: 30 s.
	ClientTimeout time.Duration
}

func (l *Limits) clientTimeout() time.Duration { return cmp.Or(l.ClientTimeout, 30*time.Second) }

const (
	// maxHeaderBytes bounds a request's line and headers together.
	maxHeaderBytes = 32 << 10
	// maxHeaders bounds how many headers a request has.
	maxHeaders = 100
	// idleTimeout is how long a connection is kept without a request.
	idleTimeout = 2 * time.Minute
)

// addresses tells where requests come from.
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

// neighbourhood is what is counted as one address: of IPv6, where one caller
// has as many as it likes, the network.
func clientNetwork(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Unmap().Is4() {
		return address
	}
	network, _ := addr.Prefix(64) // fails for more bits than there are only
	return network.String()
}

// tooMany asks a caller to wait.
func rateLimited(wait time.Duration, reason string) *problem {
	seconds := int(math.Ceil(wait.Seconds()))
	return &problem{Status: http.StatusTooManyRequests, Code: contract.ProblemRateLimited, RetryAfter: seconds,
		Detail: fmt.Sprintf("%s. Try again in %d s.", reason, seconds)}
}

// fewHeaders refuses a request with more headers than any client has use for.
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

// checkPrompt refuses a text that no agent may be asked.
func (s *Server) checkPrompt(name, text string) error {
	if err := checkText(name, text); err != nil {
		return err
	}
	return s.checkRules(name, text)
}

// checkRules refuses a text that a rule of the operator's is against.
func (s *Server) checkRules(name, text string) error {
	rule := s.config.PromptRules.FirstMatch(text)
	if rule == "" {
		return nil
	}
	return &problem{Status: http.StatusUnprocessableEntity, Code: contract.ProblemPromptDenied,
		Detail: fmt.Sprintf("The operator's rule %q is against this %s.", rule, name),
		Errors: []contract.FieldError{fieldError(name, fmt.Sprintf("the rule %q is against it", rule))}}
}
