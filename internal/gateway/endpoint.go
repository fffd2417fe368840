package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"github.com/airlock-run/airlock/internal/gateway/forward"
)

// Endpoint is the egress of one execution. It implements sandbox.Egress.
type Endpoint struct {
	gateway *Gateway
	policy  Policy
	server  *http.Server
	log     *zap.Logger
	budget  *budgetTracker
	waits   *waitClock
	onWait  func(status int, delay time.Duration)

	ctx    context.Context // canceled by Close
	cancel context.CancelCauseFunc

	mu           sync.Mutex
	closed       bool
	requestCount atomic.Int64
	requests     sync.WaitGroup // running requests; incremented under mu, so that Close waits for all of them
	running      atomic.Int64   // the number of running requests

	bodyBytes *semaphore.Weighted // limits the bytes of all request bodies in memory

	// What a job can cost the process that it shares with others is limited by these rates. Requests and connections
	// above them wait.
	requestRate, connectionRate *rate.Limiter
	connections                 int           // at the same time
	bodyRate                    *rate.Limiter // bytes of request bodies

	unlimitedLog *zap.Logger
	logLines     *lineCount
	logged       sync.Once // the last line of the log
}

const (
	// An endpoint serves at most maxRate+maxBurst = 50 requests in any second, and accepts as many connections.
	maxRate        = 40
	maxBurst       = 10
	maxBodyRate    = 8 << 20 // bytes a second; a burst may have twice the largest body
	maxConnections = 32
	maxHeaderBytes = 64 << 10
	headerTimeout  = 10 * time.Second
)

var errEndpointClosed = errors.New("the endpoint is closed")

func newServer(h http.Handler, log *zap.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	errorLog, err := zap.NewStdLogAt(log, zap.DebugLevel)
	if err != nil {
		errorLog = nil // not possible: the level is valid
	}
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		ErrorLog:                     errorLog,
	}
}

// Serve answers the sandbox's requests until the listener or the endpoint is closed. It owns the listener.
func (e *Endpoint) Serve(l net.Listener) error {
	err := e.server.Serve(netutil.LimitListener(slowListener{l, e}, e.connections))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// serve passes a request on to its door.
func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) {
	if e.policy.Door != nil && forward.IsRequest(r) {
		e.policy.Door.ServeHTTP(w, r)
		return
	}
	e.ServeHTTP(w, r)
}

// slowListener accepts connections at the endpoint's rate. Those that wait for it cost the sandbox's memory.
type slowListener struct {
	net.Listener
	endpoint *Endpoint
}

func (l slowListener) Accept() (net.Conn, error) {
	if l.endpoint.connectionRate.Wait(l.endpoint.ctx) != nil {
		return nil, net.ErrClosed
	}
	return l.Listener.Accept()
}

// Close ends all requests, including the upstream ones, and waits for them. That takes up to drainTime, because what
// the providers of streams have sent is counted. The summary does not change afterwards.
// Close can be called more than once.
func (e *Endpoint) Close() error {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cancel(errEndpointClosed)
	err := e.server.Close()
	if e.policy.Door != nil {
		e.policy.Door.Close()
	}
	e.requests.Wait()
	e.logged.Do(e.logSummary)
	if errors.Is(err, net.ErrClosed) {
		return nil // Serve has already closed the listener
	}
	return err
}

// Summary returns what went through the endpoint so far.
func (e *Endpoint) Summary() Summary {
	s := e.budget.summary()
	s.Waited = e.waits.waited()
	return s
}

// OnWait registers a function that is told when calls begin to wait for the provider, and from time to time while they
// do: with the status of the provider's answer (0: there was none), and the delay until the next try. It must be called
// before Serve. onWait must be safe for concurrent use and must not block.
func (e *Endpoint) OnWait(onWait func(status int, delay time.Duration)) { e.onWait = onWait }

// Waited returns how long the calls have waited for a provider that was overloaded or not reached: the time in which at
// least one of them did, MaxWait at most. While a call waits, its try that runs counts as well; if that try succeeds,
// Waited is less by its time.
func (e *Endpoint) Waited() time.Duration { return e.waits.waited() }

// MaxWait returns the limit of Waited.
func (e *Endpoint) MaxWait() time.Duration { return e.waits.limit }

// beginRequest registers a running request. It returns false if the endpoint is closed.
func (e *Endpoint) beginRequest() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.requests.Add(1)
		e.running.Add(1)
	}
	return !e.closed
}

func (e *Endpoint) endRequest() {
	e.running.Add(-1)
	e.requests.Done()
}

// Busy reports whether a request is being answered.
func (e *Endpoint) Busy() bool { return e.running.Load() > 0 }
