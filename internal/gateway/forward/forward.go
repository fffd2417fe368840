// Package forward is the door of the gateway through which an agent reaches hosts other than its model: a forward proxy
// for one job. Requests come in with a CONNECT method or with an absolute http URL; connections go out to the hosts
// that the job's rules allow, at public addresses only. Who is refused gets the reason. The agent is not trusted: the
// proxy decides by the name that it was asked for, resolves it itself, and requires the same name in what is sent.
package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// DefaultMaxBytes is Config.MaxBytes if that is 0: 10 GiB.
const DefaultMaxBytes = 10 << 30

const (
	dialTimeout = 15 * time.Second
	// firstBytesTimeout is how long a client may take for its first bytes, for its TLS hello or its request.
	firstBytesTimeout = 30 * time.Second
)

// ResolveHost is a reserved name. A request GET http://ResolveHost/NAME is answered with 204 if a port of that host is
// allowed, and with 403 if none is.
const ResolveHost = "resolve.airlock.invalid"

// Rules say which hosts a job may reach. The host is in lower case.
type Rules interface {
	Allows(host string, port int) bool
	Ports() []int // all ports at which some host may be reached
}

// Config has the operator's settings.
type Config struct {
	Guard    netguard.Guard // which addresses are dialed besides public ones
	Resolver *net.Resolver  // nil: that of this machine
	// Ceiling is what the operator allows: no job reaches more, whatever its rules; nil: there is no ceiling.
	Ceiling Rules
	// Reserved are hosts that nobody reaches here, because they have a door of their own: those of the models.
	Reserved []string
	MaxBytes int64 // that one job may send and receive; 0: DefaultMaxBytes
	Log      *zap.Logger
}

// Proxy opens doors. It is safe for concurrent use.
type Proxy struct{ config Config }

// NewResolver returns a resolver that asks one name server, "host:port".
func NewResolver(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
}

// New returns a proxy.
func New(c Config) *Proxy {
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultMaxBytes
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return &Proxy{c}
}

// Door is the proxy of one job. It serves requests for which IsRequest is true.
type Door struct {
	config Config
	rules  Rules
	log    *zap.Logger
	plain  *httputil.ReverseProxy
	usage  usage

	dialAddr  func(addr string) string // tests only: where a connection goes in truth; nil: to addr
	transport *http.Transport
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	mu        sync.Mutex
	closed    bool
	requests  sync.WaitGroup
}

// Open opens the door of an execution.
func (p *Proxy) Open(executionID string, rules Rules) *Door {
	ctx, cancel := context.WithCancel(context.Background())
	d := &Door{
		config: p.config, rules: rules, log: p.config.Log.With(zap.String("execution", executionID)), ctx: ctx, cancel: cancel,
		usage: usage{max: p.config.MaxBytes},
	}
	d.transport = netguard.NewTransport(p.config.Guard)
	d.transport.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return d.dial(ctx, addr) }
	d.transport.ResponseHeaderTimeout = 5 * time.Minute
	d.transport.MaxResponseHeaderBytes = 256 << 10
	d.transport.IdleConnTimeout = 90 * time.Second
	d.plain = newPlainProxy(d.transport)
	return d
}

// Close ends all connections of the job, and waits for them. The usage does not change afterwards.
func (d *Door) Close() {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.cancel()
	d.requests.Wait()
	d.transport.CloseIdleConnections()
}

// Usage returns what went through the door so far.
func (d *Door) Usage() Usage { return d.usage.snapshot() }

// IsRequest reports whether a request is one for a forward proxy.
func IsRequest(r *http.Request) bool { return r.Method == http.MethodConnect || r.URL.IsAbs() }

// ServeHTTP serves one request, or one connection.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !IsRequest(r) {
		http.Error(w, "Airlock: this is a forward proxy", http.StatusNotFound)
		return
	}
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	d.requests.Add(1)
	d.mu.Unlock()
	defer d.requests.Done()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	r = r.WithContext(ctx)
	switch {
	case r.Method == http.MethodConnect:
		d.connect(w, r)
	case r.URL.Host == ResolveHost:
		d.resolve(w, r)
	case r.URL.Scheme != "http":
		d.refuse(w, r.URL.Host, http.StatusBadRequest, "use CONNECT for a URL that begins with "+r.URL.Scheme+"://")
	default:
		d.servePlain(w, r)
	}
}

// target is a host and a port that a client asks for.
type target struct {
	host string // in lower case, without a final dot
	port int
}

func (t target) String() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// parseTarget reads "host:port". Without a port it is defaultPort; 0: it is required.
func parseTarget(hostport string, defaultPort int) (target, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil && defaultPort != 0 && !strings.Contains(hostport, ":") {
		return target{normalName(hostport), defaultPort}, nil
	}
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 || host == "" {
		return target{}, fmt.Errorf("%q is not a host and a port", hostport)
	}
	return target{normalName(host), int(n)}, nil
}

func normalName(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

// check returns why a target is refused; empty: it is allowed.
func (d *Door) check(t target) string {
	_, notAddress := netip.ParseAddr(strings.Trim(t.host, "[]"))
	switch {
	case notAddress == nil:
		return "an address is not reached, only a name"
	case slices.Contains(d.config.Reserved, t.host):
		return t.host + " is reached only as the model of this agent, at ANTHROPIC_BASE_URL or the like"
	case !d.rules.Allows(t.host, t.port):
		return t.String() + " is not among the allowed hosts of this environment"
	case d.config.Ceiling != nil && !d.config.Ceiling.Allows(t.host, t.port):
		return t.String() + " is not among the hosts that the operator allows"
	}
	return ""
}

// resolve answers whether a name is allowed.
func (d *Door) resolve(w http.ResponseWriter, r *http.Request) {
	name := normalName(strings.TrimPrefix(r.URL.Path, "/"))
	reason := ""
	for _, port := range d.rules.Ports() {
		if reason = d.check(target{name, port}); reason == "" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	d.recordRefusal(name, reason)
	http.Error(w, reason, http.StatusForbidden)
}

// recordRefusal records a host that was not reached. Each is logged one time, and only the first ones: a job cannot
// fill the log.
func (d *Door) recordRefusal(host, reason string) {
	metrics.NetworkConnections.WithLabelValues("refused").Inc()
	if shown, isNew := d.usage.refused(host); isNew {
		d.log.Info("egress refused", zap.String("host", shown), zap.String("reason", reason))
	}
}

// refuse answers a request that is not served.
func (d *Door) refuse(w http.ResponseWriter, host string, status int, reason string) {
	d.recordRefusal(host, reason)
	w.Header().Set("Connection", "close")
	w.Header().Set("X-Airlock-Reason", reason)
	http.Error(w, "Airlock: "+reason, status)
}

// dial connects to an allowed host and counts what goes through the connection.
func (d *Door) dial(ctx context.Context, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialTimeout, Resolver: d.config.Resolver, ControlContext: d.config.Guard.Control}
	if d.dialAddr != nil {
		addr = d.dialAddr(addr)
	}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		metrics.NetworkConnections.WithLabelValues("failed").Inc()
		return nil, err
	}
	metrics.NetworkConnections.WithLabelValues("connected").Inc()
	return d.usage.count(conn, host), nil
}

// dialReason says to the agent why a host was not reached.
func dialReason(t target, err error) string {
	var blocked netguard.BlockedError
	var missing *net.DNSError
	switch {
	case errors.As(err, &blocked):
		return t.host + " has an address that is not public"
	case errors.As(err, &missing) && missing.IsNotFound:
		return t.host + " does not exist"
	case errors.As(err, &missing):
		return t.host + " could not be resolved"
	case errors.Is(err, errTooMuch):
		return errTooMuch.Error()
	default:
		return t.String() + " could not be reached"
	}
}
