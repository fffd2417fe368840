package forward

import (
	"cmp"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// Usage is what a job has sent and received, by host.
type Usage struct {
	Hosts   []HostUsage // by name; the last one may have no name: it is the sum of all further hosts
	Refused []string    // that the job has asked for, the first maxRefused of them, by name
}

// HostUsage is what went to one host.
type HostUsage struct {
	Host           string
	Connections    int
	Sent, Received int64 // bytes
}

// A job may use many hosts, of which so many are named: the document of its execution holds no more.
const (
	maxHosts   = 20
	maxRefused = 20
)

// errTooMuch is the error of a connection of a job that has reached its limit.
var errTooMuch = errors.New("this job has sent and received as many bytes as it may")

type usage struct {
	max int64

	mu         sync.Mutex
	total      int64
	hosts      map[string]*HostUsage
	refusedSet map[string]bool
}

func (u *usage) snapshot() Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	var all Usage
	for _, h := range u.hosts {
		all.Hosts = append(all.Hosts, *h)
	}
	slices.SortFunc(all.Hosts, func(a, b HostUsage) int {
		if (a.Host == "") != (b.Host == "") {
			return cmp.Compare(b.Host, a.Host)
		}
		return cmp.Compare(a.Host, b.Host)
	})
	all.Refused = slices.Sorted(maps.Keys(u.refusedSet))
	return all
}

// refused records a host that was not reached, as it can be shown. isNew is false if it is recorded already, or not at
// all.
func (u *usage) refused(host string) (shown string, isNew bool) {
	shown = readable(host)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.refusedSet == nil {
		u.refusedSet = map[string]bool{}
	}
	if u.refusedSet[shown] || len(u.refusedSet) == maxRefused {
		return shown, false
	}
	u.refusedSet[shown] = true
	return shown, true
}

// maxShown is longer than any name with its port, in bytes.
const maxShown = 260

// readable returns what the agent has written in place of a host, so that it can be shown.
func readable(host string) string {
	host = strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e {
			return '?'
		}
		return r
	}, host)
	return host[:min(len(host), maxShown)]
}

// count returns a connection whose bytes count for a host.
func (u *usage) count(conn net.Conn, host string) net.Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hosts == nil {
		u.hosts = map[string]*HostUsage{}
	}
	h := u.hosts[host]
	if h == nil {
		if len(u.hosts) >= maxHosts {
			host = ""
		}
		if h = u.hosts[host]; h == nil {
			h = &HostUsage{Host: host}
			u.hosts[host] = h
		}
	}
	h.Connections++
	return &countedConn{conn, u, h}
}

// add counts bytes. It returns errTooMuch when the job has reached its limit.
func (u *usage) add(to *int64, n int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	*to += int64(n)
	u.total += int64(n)
	if u.total > u.max {
		return errTooMuch
	}
	return nil
}

var (
	bytesReceived = metrics.NetworkBytes.WithLabelValues("in")
	bytesSent     = metrics.NetworkBytes.WithLabelValues("out")
)

type countedConn struct {
	net.Conn
	usage *usage
	host  *HostUsage
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	bytesReceived.Add(float64(n))
	return n, cmp.Or(c.usage.add(&c.host.Received, n), err)
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	bytesSent.Add(float64(n))
	return n, cmp.Or(c.usage.add(&c.host.Sent, n), err)
}

// CloseWrite passes the end of a half on.
func (c *countedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
