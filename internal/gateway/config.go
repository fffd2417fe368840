package gateway

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/netguard"
)

// Config is what the operator configures for one upstream. Zero durations and sizes mean the defaults, except for
// MaxWait.
type Config struct {
	API      API      // the API of the upstream; default: MessagesAPI
	Upstream *url.URL // without user, query and fragment
	APIKey   string

	// Models restricts the models that the runtimes declare. Empty: no restriction.
	Models []string
	// AllowPrivateUpstream permits that the upstream's name resolves to an address that is not public. It is not needed
	// for an upstream that is itself such an address, or localhost.
	AllowPrivateUpstream bool
	// RootCAs verify the certificate of an https upstream; nil: the system's.
	RootCAs *x509.CertPool
	// Budget of one execution. A zero field means no limit.
	Budget Budget

	// MaxWait bounds how long the calls of one endpoint wait for a provider that is overloaded or not reached. 0: they do
	// not wait, and the first failure is passed on.
	MaxWait time.Duration
	Backoff time.Duration // before a request is repeated; doubled with each try, up to 30 times as much; default: 1s

	CallTimeout     time.Duration // one try, from sending the request to the last byte of the response; default: 10m
	IdleTimeout     time.Duration // one read of a response body from upstream, or one write to the sandbox; default: 60s
	BodyTimeout     time.Duration // reading the body of a request from the sandbox; default: 30s
	MaxRequestSize  int64         // bytes of one request body; default: 32 MiB, the limit of the Messages API
	MaxResponseSize int64         // bytes of one response body; default: 32 MiB

	Log *zap.Logger
}

const (
	defaultBackoff     = time.Second
	defaultCallTimeout = 10 * time.Minute
	defaultIdleTimeout = time.Minute
	defaultBodyTimeout = 30 * time.Second
	defaultMaxBodySize = 32 << 20
)

func (c Config) validate() error {
	var errs []error
	switch u := c.Upstream; {
	case u == nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		errs = append(errs, errors.New("the upstream must be an http or https URL"))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		errs = append(errs, errors.New("the upstream must have no user, query or fragment"))
	case u.Scheme == "http" && !isLocal(u.Hostname()) && !c.AllowPrivateUpstream:
		errs = append(errs, errors.New("an upstream with a public address must use https"))
	}
	if _, known := apiSpecs[c.API]; !known {
		errs = append(errs, fmt.Errorf("unknown API %q", c.API))
	}
	if c.APIKey == "" {
		errs = append(errs, errors.New("the API key is missing"))
	}
	if c.MaxWait < 0 || c.Backoff < 0 || c.CallTimeout < 0 || c.IdleTimeout < 0 || c.BodyTimeout < 0 || c.MaxRequestSize < 0 || c.MaxResponseSize < 0 ||
		c.Budget.Tokens < 0 || c.Budget.CostUSD < 0 {
		errs = append(errs, errors.New("time-outs, sizes and budgets must not be negative"))
	}
	return errors.Join(errs...)
}

// isLocal reports whether a host is localhost or an address that is not public.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && !netguard.IsPublic(addr)
}
