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
type Script func(Request) Answer

// Server is one stand-in. Its zero value is not ready, see Start.
type Server struct {
	http   *httptest.Server
	script Script
	ended  chan struct{} // closed by Close; what hangs, hangs until then

	mu       sync.Mutex
	requests []Request
	heard    chan Request
	gone     chan Request
}

// Start serves on a loopback address until Close.
func Start(script Script) *Server {
	s := prepare(script)
	s.http.Start()
	return s
}

// StartTLS serves as Start does, with TLS and HTTP/2 as the real API has them.
func StartTLS(script Script) *Server {
	s := prepare(script)
	s.http.EnableHTTP2 = true
	s.http.StartTLS()
	return s
}

func prepare(script Script) *Server {
	s := &Server{
		script: script,
		ended:  make(chan struct{}),
		heard:  make(chan Request, backlog),
		gone:   make(chan Request, backlog),
	}
	s.http = httptest.NewUnstartedServer(s)
	return s
}

// Certificate is that of StartTLS.
func (s *Server) Certificate() *x509.Certificate { return s.http.Certificate() }

// RootCAs are what a client of StartTLS has to trust.
func (s *Server) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// backlog is how many events a test may leave unread.
const backlog = 1024

// URL is where the stand-in listens.
func (s *Server) URL() *url.URL {
	u, err := url.Parse(s.http.URL)
	if err != nil {
		panic(err) // httptest makes valid URLs
	}
	return u
}

// Close ends what hangs and stops the server.
func (s *Server) Close() {
	close(s.ended)
	s.http.Close()
}

// Requests are all requests so far, in their order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Heard gets each request as it arrives.
func (s *Server) Heard() <-chan Request { return s.heard }

// Gone gets each request whose client went away before its answer was complete.
func (s *Server) Gone() <-chan Request { return s.gone }

// ServeHTTP answers by the script. It takes any path, so that a test sees what
// was really asked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request, err := read(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	request.Number = len(s.requests) + 1
	s.requests = append(s.requests, request)
	s.mu.Unlock()
	note(s.heard, request)

	s.script(request).write(w, r, request, s.ended)
	if r.Context().Err() != nil {
		note(s.gone, request)
	}
}

// note drops what nobody reads.
func note(to chan<- Request, r Request) {
	select {
	case to <- r:
	default:
	}
}
