// Package modelstub is a stand-in for the Messages API, for tests: it answers
// as a script says, in the API's own shapes, streamed and whole, and remembers
// what it was asked.
package modelstub

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
)

// Script says how to answer a request. It may be called concurrently.
type Script func(Request) Response

// Server is one stand-in. Its zero value is not ready, see Start.
type Server struct {
	server *httptest.Server
	script Script
	closed chan struct{} // closed by Close; what hangs, hangs until then

	mu           sync.Mutex
	requests     []Request
	received     chan Request
	disconnected chan Request
}

// Start serves on a loopback address until Close.
func Start(script Script) *Server {
	s := newServer(script)
	s.server.Start()
	return s
}

// StartTLS serves as Start does, with TLS and HTTP/2 as the real API has them.
func StartTLS(script Script) *Server {
	s := newServer(script)
	s.server.EnableHTTP2 = true
	s.server.StartTLS()
	return s
}

func newServer(script Script) *Server {
	s := &Server{
		script:       script,
		closed:       make(chan struct{}),
		received:     make(chan Request, eventBuffer),
		disconnected: make(chan Request, eventBuffer),
	}
	s.server = httptest.NewUnstartedServer(s)
	return s
}

// Certificate is that of StartTLS.
func (s *Server) Certificate() *x509.Certificate { return s.server.Certificate() }

// RootCAs are what a client of StartTLS has to trust.
func (s *Server) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// backlog is how many events a test may leave unread.
const eventBuffer = 1024

// URL is where the stand-in listens.
func (s *Server) URL() *url.URL {
	u, err := url.Parse(s.server.URL)
	if err != nil {
		panic(err) // httptest makes valid URLs
	}
	return u
}

// Close ends what hangs and stops the server.
func (s *Server) Close() {
	close(s.closed)
	s.server.Close()
}

// Requests are all requests so far, in their order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Heard gets each request as it arrives.
func (s *Server) Received() <-chan Request { return s.received }

// Gone gets each request whose client went away before its answer was complete.
func (s *Server) Disconnected() <-chan Request { return s.disconnected }

// ServeHTTP answers by the script. It takes any path, so that a test sees what
// was really asked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := parseRequest(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	request.Number = len(s.requests) + 1
	s.requests = append(s.requests, request)
	s.mu.Unlock()
	trySend(s.received, request)

	s.script(request).write(w, r, request, s.closed)
	if r.Context().Err() != nil {
		trySend(s.disconnected, request)
	}
}

// note drops what nobody reads.
func trySend(to chan<- Request, r Request) {
	select {
	case to <- r:
	default:
	}
}
