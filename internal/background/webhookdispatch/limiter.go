package webhookdispatch

import (
	"sync"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// Limits on the requests that one dispatcher sends at the same time. A slow host, or a tenant with many webhooks, can
// use up its own share only.
const (
	maxConcurrent = 64
	maxPerTenant  = 16
	maxPerHost    = 4
)

// limiter counts the requests in flight. The zero limiter has none.
type limiter struct {
	mu       sync.Mutex
	inFlight map[webhook.Ref]string // the host of each
	tenants  map[string]int
	hosts    map[string]int
}

// admission is the answer to whether a delivery may be sent now.
type admission int

const (
	admitted       admission = iota // it may, and counts until release
	limited                         // its host or its tenant has used up its share
	alreadySending                  // it is being sent already
	full                            // no delivery may be sent
)

func (l *limiter) acquire(ref webhook.Ref, host string) admission {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inFlight == nil {
		l.inFlight, l.tenants, l.hosts = map[webhook.Ref]string{}, map[string]int{}, map[string]int{}
	}
	_, sending := l.inFlight[ref]
	switch {
	case sending:
		return alreadySending
	case len(l.inFlight) == maxConcurrent:
		return full
	case l.tenants[ref.Tenant] == maxPerTenant || l.hosts[host] == maxPerHost:
		return limited
	}
	l.inFlight[ref] = host
	l.tenants[ref.Tenant]++
	l.hosts[host]++
	return admitted
}

func (l *limiter) release(ref webhook.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	decrement(l.tenants, ref.Tenant)
	decrement(l.hosts, l.inFlight[ref])
	delete(l.inFlight, ref)
}

// decrement removes a key whose count reaches 0, so that the map does not grow with time.
func decrement(counts map[string]int, key string) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}
