// Package livesteps carries the steps of running agents from the executor that runs them to the processes of the API
// that show them, without a database or a queue in between.
//
// An executor has a Server, and stores the Server's endpoint in its session. A process of the API has a Follower: it
// looks up the session that holds an execution, and asks that executor for the steps after those that it has. What it
// misses costs nothing: the steps are stored with the end of the attempt.
package livesteps

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/net/netutil"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/process"
)

const (
	// maxWait is how long a request may wait for a step. It is less than the time after which firewalls forget a silent
	// connection.
	maxWait = 25 * time.Second
	// maxConnections bounds the connections of one executor. Each process of the API has one for each attempt that it
	// follows.
	maxConnections = 4096
	// serverName is the name in the certificate of every executor. It need not tell them apart: each has a key of its own.
	serverName = "executor.airlock.internal"
	// certificateLifetime is longer than any process runs.
	certificateLifetime = 10 * 365 * 24 * time.Hour
)

// ErrNotRunning means that an attempt does not run in this process.
var ErrNotRunning = errors.New("the attempt does not run here")

// Source has the steps of running attempts. StepsAfter returns what is new after a position, and waits for it; when ctx
// ends, it returns nothing new. The error is ErrNotRunning if the attempt does not run, or has ended.
type Source interface {
	StepsAfter(ctx context.Context, ref execution.Ref, attempt int, have Position) (News, error)
}

// Position is what a reader has of an attempt.
type Position struct {
	Step   int // number of the newest step
	Saying int // version of the text that the agent is saying
	Result int // version of the newest result of a tool
}

// News is what is new of an attempt.
type News struct {
	Steps  []execution.Step `json:"steps"`
	Saying Saying           `json:"saying,omitzero"`
	Result Result           `json:"result,omitzero"`
}

// Saying is the text that an agent is in the middle of saying. When it has said it, that is a step.
type Saying struct {
	Text    string `json:"text"`    // its newest part, at most MaxSayingBytes; empty: it says nothing at present
	Version int    `json:"version"` // counts the changes of Text in an attempt
}

// Result is the newest result of a tool. Who does not read it in time reads it in the transcript.
type Result struct {
	Tool    string `json:"tool,omitempty"` // empty: not known
	Text    string `json:"text"`           // its beginning, at most MaxResultBytes
	IsError bool   `json:"isError,omitempty"`
	Version int    `json:"version"` // counts the results of an attempt
}

// MaxSayingBytes bounds Saying.Text, and MaxResultBytes Result.Text.
const (
	MaxSayingBytes = 4 << 10
	MaxResultBytes = 2 << 10
)

// Server serves the steps of one executor. Its certificate and its token exist only in this process and in its session.
// Nil is a server that serves nothing.
type Server struct {
	listener    net.Listener
	certificate tls.Certificate
	endpoint    fleet.Endpoint
}

// Listen opens the listener on listenAddr, host:port. advertiseAddr is where other processes reach it; if it is empty,
// that is the address of this machine on its way to the network, with the port of the listener.
func Listen(ctx context.Context, listenAddr, advertiseAddr string) (*Server, error) {
	certificate, err := newCertificate()
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listenAddr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for live steps (is another server there? choose another address): %w", listenAddr, err)
	}
	if advertiseAddr == "" {
		advertiseAddr = reachableAddr(ctx, l.Addr())
	}
	return &Server{
		listener: netutil.LimitListener(l, maxConnections), certificate: certificate,
		endpoint: fleet.Endpoint{Address: advertiseAddr, Token: rand.Text(), Certificate: certificate.Certificate[0]},
	}, nil
}

// reachableAddr returns where other machines reach a listener on all addresses.
func reachableAddr(ctx context.Context, bound net.Addr) string {
	tcp, ok := bound.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return bound.String()
	}
	ip := net.IPv4(127, 0, 0, 1)
	// Connecting a UDP socket sends nothing; it only chooses the way. The address is one for documentation (RFC 5737).
	if c, err := new(net.Dialer).DialContext(ctx, "udp4", "192.0.2.1:9"); err == nil {
		if local, ok := c.LocalAddr().(*net.UDPAddr); ok {
			ip = local.IP
		}
		_ = c.Close()
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(tcp.Port))
}

// newCertificate returns a new key with its self-signed certificate. Who has read the certificate in the session trusts
// this one and no other.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: serverName}, DNSNames: []string{serverName},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(certificateLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// Endpoint is what other processes need to reach the server; nil: they cannot.
func (s *Server) Endpoint() *fleet.Endpoint {
	if s == nil {
		return nil
	}
	return &s.endpoint
}

// Close closes the listener of a server that is not served. After Serve it has no effect.
func (s *Server) Close() {
	if s != nil {
		_ = s.listener.Close()
	}
}

// Serve serves the steps of source until ctx ends.
func (s *Server) Serve(ctx context.Context, source Source) error {
	if s == nil {
		return nil
	}
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{s.certificate}, MinVersion: tls.VersionTLS13}
	return process.ServeListener(ctx, tls.NewListener(s.listener, tlsConfig), s.handler(source))
}

// handler answers GET /steps?tenant=…&execution=…&attempt=…&after=…&saying=…&result=…: 200 with what is new after that
// position, which is nothing if nothing happened for maxWait; 404 if the attempt does not run here.
func (s *Server) handler(source Source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /steps", func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+s.endpoint.Token)) != 1 {
			http.Error(w, "the token is not that of this executor", http.StatusUnauthorized)
			return
		}
		q := r.URL.Query()
		attempt, attemptErr := strconv.Atoi(q.Get("attempt"))
		after, afterErr := strconv.Atoi(q.Get("after"))
		saying, sayingErr := strconv.Atoi(q.Get("saying"))
		result, resultErr := strconv.Atoi(cmp.Or(q.Get("result"), "0")) // an API of an older release asks for none
		if err := errors.Join(attemptErr, afterErr, sayingErr, resultErr); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), maxWait)
		defer cancel()
		ref := execution.Ref{Tenant: q.Get("tenant"), ID: q.Get("execution")}
		news, err := source.StepsAfter(ctx, ref, attempt, Position{Step: after, Saying: saying, Result: result})
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.MarshalWrite(w, news) // a caller that is gone needs no answer
	})
	return mux
}
