package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	nameServerAddr = "127.0.0.1:53"
	// maxNames bounds the names that have an address, and so the sockets that listen.
	maxNames      = 256
	maxDNSMessage = 4 << 10
	// maxQuestions bounds the questions that are answered at the same time. Further ones are dropped, as by a busy server:
	// programs ask again.
	maxQuestions = 32
	// resolveHost is the reserved name of the gateway's answer to that question; see package forward.
	resolveHost = "resolve.airlock.invalid"
)

// firstNameAddr is the address of the first name; each further one has the next.
var firstNameAddr = netip.AddrFrom4([4]byte{127, 64, 0, 1})

// names makes the allowed hosts reachable for programs that know nothing of a proxy. It is the name server of the
// sandbox: an allowed name gets a loopback address of its own, and a connection to that address goes to the gateway
// with the name. Other names do not exist.
type names struct {
	ctx    context.Context
	socket string
	ports  []int // at which a host may be reached
	packet net.PacketConn
	sem    chan struct{}

	mu        sync.Mutex
	addresses map[string]netip.Addr
	next      netip.Addr
	listeners []net.Listener
}

// openNames takes the address of the name server. Questions wait until serve is called.
func openNames(ctx context.Context, addr, socket string, ports []int) (*names, error) {
	packet, err := new(net.ListenConfig).ListenPacket(ctx, "udp", addr)
	if err != nil {
		return nil, fmt.Errorf("name server: %w", err)
	}
	return &names{
		ctx: ctx, socket: socket, ports: ports, packet: packet, sem: make(chan struct{}, maxConnections),
		addresses: map[string]netip.Addr{}, next: firstNameAddr,
	}, nil
}

// serve answers questions in the background.
func (n *names) serve() {
	go func() {
		questions := make(chan struct{}, maxQuestions)
		for {
			buf := make([]byte, maxDNSMessage)
			size, from, err := n.packet.ReadFrom(buf)
			if err != nil {
				return
			}
			select {
			case questions <- struct{}{}:
			default:
				continue
			}
			go func() {
				defer func() { <-questions }()
				if answer := n.answer(buf[:size]); answer != nil {
					_, _ = n.packet.WriteTo(answer, from)
				}
			}()
		}
	}()
}

// answer returns the answer to a question, or nil for what is no question.
func (n *names) answer(question []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil || m.Response || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m = dnsmessage.Message{
		Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionDesired: m.RecursionDesired, RecursionAvailable: true},
		Questions: m.Questions,
	}
	addr, err := n.address(strings.TrimSuffix(strings.ToLower(q.Name.String()), "."))
	switch {
	case errors.Is(err, errNameRefused):
		m.RCode = dnsmessage.RCodeNameError
	case err != nil:
		m.RCode = dnsmessage.RCodeServerFailure
	case q.Type == dnsmessage.TypeA && q.Class == dnsmessage.ClassINET:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60},
			Body:   &dnsmessage.AResource{A: addr.As4()},
		}}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}

var errNameRefused = errors.New("the name is not allowed")

// address returns the address of an allowed name.
func (n *names) address(name string) (netip.Addr, error) {
	n.mu.Lock()
	addr, ok := n.addresses[name]
	n.mu.Unlock()
	if ok {
		return addr, nil
	}
	if !strings.Contains(name, ".") || strings.ContainsAny(name, "/?#%\\ \r\n") {
		return netip.Addr{}, errNameRefused
	}
	status, conn, err := n.ask(fmt.Sprintf("GET http://%s/%s HTTP/1.1\r\nHost: %[1]s\r\nConnection: close\r\n\r\n", resolveHost, name))
	if err != nil {
		return netip.Addr{}, err
	}
	_ = conn.Close()
	switch status {
	case "204":
		return n.add(name)
	case "403":
		return netip.Addr{}, errNameRefused
	default:
		return netip.Addr{}, fmt.Errorf("the gateway answered %s", status)
	}
}

// add gives a name an address, and listens there.
func (n *names) add(name string) (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if addr, ok := n.addresses[name]; ok { // meanwhile
		return addr, nil
	}
	if len(n.addresses) == maxNames {
		return netip.Addr{}, errors.New("too many names")
	}
	addr := n.next
	listening := 0
	for _, port := range n.ports {
		l, err := new(net.ListenConfig).Listen(n.ctx, "tcp", netip.AddrPortFrom(addr, uint16(port)).String())
		if err != nil {
			continue // the agent itself may listen at this port, at all addresses
		}
		listening++
		n.listeners = append(n.listeners, l)
		go n.accept(l, fmt.Sprintf("%s:%d", name, port))
	}
	if listening == 0 {
		return netip.Addr{}, errors.New("no port is free")
	}
	n.next = addr.Next()
	n.addresses[name] = addr
	return addr, nil
}

func (n *names) accept(l net.Listener, target string) {
	for {
		n.sem <- struct{}{}
		agentConn, err := l.Accept()
		if err != nil {
			<-n.sem
			return
		}
		go func() {
			defer func() { <-n.sem }()
			n.proxy(agentConn, target)
		}()
	}
}

// proxy connects an agent to a target through the gateway. If the gateway refuses, the agent sees a reset.
func (n *names) proxy(agentConn net.Conn, target string) {
	defer agentConn.Close()
	status, gatewayConn, err := n.ask(fmt.Sprintf("CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", target))
	if err != nil || status != "200" {
		if tcp, ok := agentConn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		if err == nil {
			_ = gatewayConn.Close()
		}
		return
	}
	defer gatewayConn.Close()
	copyBothWays(agentConn, gatewayConn)
}

// ask sends a request to the gateway and returns the status of the answer, and the connection after the answer's head.
func (n *names) ask(request string) (status string, _ net.Conn, err error) {
	conn, err := new(net.Dialer).DialContext(n.ctx, "unix", n.socket)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			_ = conn.Close()
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return "", nil, err
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		return "", nil, err
	}
	answered := &answeredConn{Conn: conn, r: bufio.NewReader(conn)}
	if status, err = readHead(answered.r); err != nil {
		return "", nil, err
	}
	return status, answered, conn.SetDeadline(time.Time{})
}

// connectTimeout is longer than the gateway takes to reach a host, or to give up.
const connectTimeout = 20 * time.Second

// maxHeadLines bounds the head of an answer.
const maxHeadLines = 50

// readHead reads the head of an HTTP response, and returns its status.
func readHead(r *bufio.Reader) (status string, err error) {
	for i := range maxHeadLines {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if i == 0 {
			_, rest, _ := strings.Cut(text, " ")
			status, _, _ = strings.Cut(rest, " ")
		}
		if text == "" {
			return status, nil
		}
	}
	return "", errors.New("the head of the answer is too long")
}

// answeredConn is a connection of which the head of an answer was read.
type answeredConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *answeredConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// CloseWrite passes the end of a half on.
func (c *answeredConn) CloseWrite() error {
	return c.Conn.(*net.UnixConn).CloseWrite()
}

func (n *names) Close() {
	_ = n.packet.Close()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		_ = l.Close()
	}
}
