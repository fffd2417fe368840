package forward

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const tunnelBuffer = 128 << 10

// connect serves a CONNECT request. At port 80 the connection carries HTTP requests, each of which is served like one
// with an absolute URL. At every other port it is a tunnel, whose TLS hello must name the same host.
func (d *Door) connect(w http.ResponseWriter, r *http.Request) {
	t, err := parseTarget(r.Host, 0)
	if err != nil {
		d.refuse(w, r.Host, http.StatusBadRequest, err.Error())
		return
	}
	if reason := d.check(t); reason != "" {
		d.refuse(w, t.String(), http.StatusForbidden, reason)
		return
	}
	var upstream net.Conn
	if t.port != http80 {
		if upstream, err = d.dial(r.Context(), t.String()); err != nil {
			d.refuse(w, t.String(), http.StatusBadGateway, dialReason(t, err))
			return
		}
		defer upstream.Close()
	}
	client, err := hijack(w)
	if err != nil {
		return
	}
	defer client.Close()
	defer context.AfterFunc(d.ctx, func() { _ = client.Close() })()
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	if upstream == nil {
		d.servePlainConn(client, t)
		return
	}
	if err := d.checkHello(client, t); err != nil {
		d.usage.refused(t.String())
		d.log.Info("egress refused", logHost(t), logReason(err))
		return
	}
	tunnel(client, upstream)
}

// hijack takes the connection of a request. What the client has sent already is read first.
func hijack(w http.ResponseWriter) (*clientConn, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	return &clientConn{Conn: conn, r: buffered.Reader}, nil
}

// clientConn is a connection of which a part was read before.
type clientConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *clientConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// CloseWrite passes the end of a half on.
func (c *clientConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// tlsRecord is the first byte of a TLS hello.
const tlsRecord = 0x16

// checkHello requires that a client which begins with a TLS hello names the target in it. The hello stays to be read.
// At port 443 nothing else may be sent. Elsewhere a program may wait for the other side first, so the wait for its
// first byte is short.
func (d *Door) checkHello(client *clientConn, t target) error {
	wait := firstBytesTimeout
	if t.port != https443 {
		wait = serverFirstDelay
	}
	if err := client.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	first, err := client.r.Peek(1)
	switch {
	case err == nil && first[0] == tlsRecord:
		err = requireSNI(d.ctx, client, t.host)
	case t.port == https443:
		err = errors.Join(errNoTLS, err)
	case isTimeout(err):
		err = nil
	}
	return errors.Join(err, client.SetReadDeadline(time.Time{}))
}

// serverFirstDelay is how long a tunnel to a port other than 443 waits for the first byte of the client.
const serverFirstDelay = 500 * time.Millisecond

const (
	http80   = 80
	https443 = 443
)

var (
	errNoTLS = errors.New("the connection to port 443 does not begin with TLS")
	errHello = errors.New("the hello was read")
)

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// requireSNI reads a TLS hello and puts it back.
func requireSNI(ctx context.Context, client *clientConn, host string) error {
	var read bytes.Buffer
	name := ""
	hello := tls.Server(&helloConn{client, io.TeeReader(io.LimitReader(client.r, maxHello), &read)}, &tls.Config{
		GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
			name = info.ServerName
			return nil, errHello
		},
	})
	if err := hello.HandshakeContext(ctx); !errors.Is(err, errHello) {
		return fmt.Errorf("the connection does not begin with a TLS hello: %w", err)
	}
	if normalName(name) != host {
		return fmt.Errorf("the TLS hello names %q", name)
	}
	client.r = bufio.NewReaderSize(io.MultiReader(&read, client.r), tunnelBuffer)
	return nil
}

// maxHello is longer than any TLS hello: a record of 16 KiB, in several parts.
const maxHello = 64 << 10

// helloConn is a connection on which nothing is sent.
type helloConn struct {
	net.Conn
	r io.Reader
}

func (c *helloConn) Read(p []byte) (int, error)  { return c.r.Read(p) }
func (c *helloConn) Write(p []byte) (int, error) { return len(p), nil }

// tunnel copies in both directions until both have ended, or one has failed.
func tunnel(client *clientConn, upstream net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyHalf(upstream, client)
	}()
	copyHalf(client, upstream)
	<-done
}

// copyHalf copies until src ends, and passes the end on. A failure ends both directions.
func copyHalf(dst, src net.Conn) {
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, tunnelBuffer))
	if half, ok := dst.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = dst.Close()
	_ = src.Close()
}
