// Package modelstub is a stand-in for the Messages API. Tests use it as the model.
//
// In: requests of the Messages API, and a Script that chooses the responses.
// Out: responses in the API's format, streamed or as one JSON object, and the recorded requests. The package never
// calls a real model.
package modelstub

import (
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
)

// Script returns the response to a request. It must be safe for concurrent use.
type Script func(Request) Response

// Server is one stand-in. Start creates it.
type Server struct {
	server *httptest.Server
	script Script
	closed chan struct{} // closed by Close; ends responses that hang

	mu           sync.Mutex
	requests     []Request
	received     chan Request
	disconnected chan Request

	billedInput, billedOutput int64 // see Billed
}

// Start starts a server on a loopback address. The caller must close it.
func Start(script Script) *Server {
	s := newServer(script)
	s.server.Start()
	return s
}

// StartTLS starts a server with TLS and HTTP/2, as the real API has them. The caller must close it.
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

// Certificate returns the certificate of a server that StartTLS started.
func (s *Server) Certificate() *x509.Certificate { return s.server.Certificate() }

// RootCAs returns the certificates that a client of StartTLS must trust.
func (s *Server) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

// eventBuffer is how many events a test may leave unread.
const eventBuffer = 1024

// URL returns the server's base URL.
func (s *Server) URL() *url.URL {
	u, err := url.Parse(s.server.URL)
	if err != nil {
		panic(err) // httptest makes valid URLs
	}
	return u
}

// Close ends the responses that hang and stops the server.
func (s *Server) Close() {
	close(s.closed)
	s.server.Close()
}

// Requests returns all requests so far, in their order.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Received returns a channel that receives each request when it arrives.
func (s *Server) Received() <-chan Request { return s.received }

// Disconnected returns a channel that receives each request whose client disconnected before the response was complete.
func (s *Server) Disconnected() <-chan Request { return s.disconnected }

// ServeHTTP answers a request by the script. It accepts every path, so that a test sees which one was requested.
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

	if response := s.script(request); response.generation != nil {
		s.generate(w, r, request, *response.generation)
	} else {
		response.write(w, r, request, s.closed)
	}
	if r.Context().Err() != nil {
		trySend(s.disconnected, request)
	}
}

// trySend drops the request when the channel is full.
func trySend(events chan<- Request, r Request) {
	select {
	case events <- r:
	default:
	}
}
