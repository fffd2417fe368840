package forward

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"sync"
	"time"

	"go.uber.org/zap"
)

// newPlainProxy returns the proxy for requests without TLS, whose URL is the target.
func newPlainProxy(transport http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			if t, err := parseTarget(r.In.URL.Host, http80); err == nil { // it was checked before
				r.Out.URL.Host = t.String()
			}
			r.Out.Host = r.In.URL.Host // whatever the header says
			if _, ok := r.Out.Header["User-Agent"]; !ok {
				r.Out.Header.Set("User-Agent", "") // Go would add its own
			}
		},
		Transport:     transport,
		FlushInterval: -1, // an agent may wait for a part of the answer
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			t, _ := parseTarget(r.URL.Host, http80)
			http.Error(w, "Airlock: "+dialReason(t, err), http.StatusBadGateway)
		},
	}
}

// servePlain serves a request with an absolute http URL.
func (d *Door) servePlain(w http.ResponseWriter, r *http.Request) {
	t, err := parseTarget(r.URL.Host, http80)
	if err != nil {
		d.refuse(w, r.URL.Host, http.StatusBadRequest, err.Error())
		return
	}
	if reason := d.check(t); reason != "" {
		d.refuse(w, t.String(), http.StatusForbidden, reason)
		return
	}
	d.plain.ServeHTTP(w, r)
}

// servePlainConn serves the requests of a connection that a client has opened to a target. Their Host must be that of
// the target.
func (d *Door) servePlainConn(client *clientConn, t target) {
	done := make(chan struct{})
	end := sync.OnceFunc(func() { close(done) })
	hijacked := false // set and read by the handler's goroutine: the connection ends with the handler
	server := &http.Server{
		BaseContext:       func(net.Listener) context.Context { return d.ctx },
		ReadHeaderTimeout: firstBytesTimeout, IdleTimeout: 2 * time.Minute, ErrorLog: zap.NewStdLog(zap.NewNop()),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked, err := parseTarget(r.Host, http80); err != nil || asked != t || r.URL.IsAbs() {
				d.refuse(w, r.Host, http.StatusMisdirectedRequest, "this connection is one to "+t.String()+", and its Host must be that")
				return
			}
			defer func() {
				if hijacked {
					end()
				}
			}()
			r.URL.Scheme, r.URL.Host = "http", t.host
			d.plain.ServeHTTP(w, r)
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateHijacked:
				hijacked = true
			case http.StateClosed:
				end()
			case http.StateNew, http.StateActive, http.StateIdle:
			}
		},
	}
	_ = server.Serve(&oneConn{conn: client, done: done})
}

// oneConn is a listener with one connection. Accept returns it one time, and an error when it has ended.
type oneConn struct {
	conn net.Conn
	done <-chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	var c net.Conn
	l.once.Do(func() { c = l.conn })
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }
