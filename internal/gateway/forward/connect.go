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
	"sync"
	"time"
)

// tunnelBuffer is the memory that one direction of a tunnel uses. A job may have MaxConnections tunnels.
const tunnelBuffer = 32 << 10

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
	d.tunnel(client, upstream, t)
}

// tunnel copies in both directions until both have ended, or one has failed. Elsewhere than at port 443 the server may
// send first.
func (d *Door) tunnel(client *clientConn, upstream net.Conn, t target) {
	var answers sync.WaitGroup
	defer answers.Wait()
	if t.port != https443 {
		answers.Go(func() { copyHalf(client, upstream) })
	}
	if err := d.checkHello(client, t); err != nil {
		d.recordRefusal(t.String(), err.Error())
		_ = client.Close()
		_ = upstream.Close()
		return
	}
	if t.port == https443 {
		answers.Go(func() { copyHalf(client, upstream) })
	}
	copyHalf(upstream, client)
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

// checkHello waits for the first bytes of a client. If they are a TLS hello, it must name the target. The hello stays
// to be read. At port 443 nothing else may be sent.
func (d *Door) checkHello(client *clientConn, t target) error {
	if t.port == https443 {
		if err := client.SetReadDeadline(time.Now().Add(firstBytesTimeout)); err != nil {
			return err
		}
	}
	first, err := client.r.Peek(1)
	switch {
	case err == nil && first[0] == tlsRecord:
		if err := requireSNI(d.ctx, client, t.host); err != nil {
			return err
		}
	case t.port == https443:
		return errors.Join(errNoTLS, err)
	}
	return client.SetReadDeadline(time.Time{})
}

const (
	http80   = 80
	https443 = 443
)

var (
	errNoTLS = errors.New("the connection to port 443 does not begin with TLS")
	errHello = errors.New("the hello was read")
)

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
