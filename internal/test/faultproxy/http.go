package faultproxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
)

// HTTPProxy is a proxy between HTTP clients and a real service, over unix sockets, that disturbs single requests. It
// supports connections that change their protocol, such as those that attach to a container.
type HTTPProxy struct {
	listener  net.Listener
	server    *http.Server
	transport *http.Transport
	wg        sync.WaitGroup // the server and its requests

	mu       sync.Mutex
	fault    func(Exchange) bool
	upstream []net.Conn // every connection to the service
}

// Exchange is one request of a client and its answer.
type Exchange struct {
	Request *http.Request
	proxy   *httputil.ReverseProxy
	client  http.ResponseWriter
}

// Forward sends the request to the service and returns its answer, which the client does not get yet. The service gets
// the request even if the client has closed its connection.
func (e Exchange) Forward() *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	e.proxy.ServeHTTP(answer, e.Request.WithContext(context.WithoutCancel(e.Request.Context())))
	return answer
}

// Answer sends an answer of the service to the client.
func (e Exchange) Answer(answer *httptest.ResponseRecorder) {
	maps.Copy(e.client.Header(), answer.Header())
	e.client.WriteHeader(answer.Code)
	_, _ = e.client.Write(answer.Body.Bytes()) // fails if the client has closed its connection
}

// Fail answers with an error, as the Docker Engine writes it.
func (e Exchange) Fail(status int, message string) {
	http.Error(e.client, fmt.Sprintf(`{"message":%q}`, message), status)
}

// Disconnect closes the client's connection. It does not return.
func (Exchange) Disconnect() { panic(http.ErrAbortHandler) }

// ListenHTTP starts a proxy at a unix socket to the service at target, another one. The caller must close it.
func ListenHTTP(socket, target string) (*HTTPProxy, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("proxy to %s: %w", target, err)
	}
	p := &HTTPProxy{listener: listener}
	p.transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", target)
		if err == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.upstream = append(p.upstream, conn)
		}
		return conn, err
	}}
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "service"})
	forward.Transport, forward.FlushInterval = p.transport, -1
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.wg.Add(1)
		defer p.wg.Done()
		if r.ContentLength > 0 { // Forward must not depend on the client
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		if fault := p.current(); fault == nil || !fault(Exchange{Request: r, proxy: forward, client: w}) {
			forward.ServeHTTP(w, r)
		}
	})}
	p.wg.Go(func() { _ = p.server.Serve(listener) }) // returns when the server is closed
	return p, nil
}

// Addr returns the path of the proxy's socket.
func (p *HTTPProxy) Addr() string { return p.listener.Addr().String() }

// Set applies a fault to each request until the next Set. The fault returns false for a request that it leaves alone.
// It runs in one goroutine for each request. nil ends the faults.
func (p *HTTPProxy) Set(fault func(Exchange) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

func (p *HTTPProxy) current() func(Exchange) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault
}

// Close closes all connections and waits until the proxy has stopped. No fault may wait for ever.
func (p *HTTPProxy) Close() error {
	err := p.server.Close()
	p.mu.Lock()
	for _, conn := range p.upstream {
		_ = conn.Close() // may be closed already
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}
