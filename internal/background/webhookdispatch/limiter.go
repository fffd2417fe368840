package webhookdispatch

import (
	"sync"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// Limits on the requests that one dispatcher sends at the same time. A slow host, or a tenant with many webhooks, can
// use up its own share only. A tenant whose receiver is slow leaves most of a host that others use as well.
const (
	maxConcurrent    = 256
	maxPerTenant     = 16
	maxPerHost       = 16
	maxPerTenantHost = 4 // of one tenant to one host
)

// limiter counts the requests in flight. The zero limiter has none.
type limiter struct {
	mu      sync.Mutex
	busy    map[webhook.Ref]*share // what is being sent, with its share, or postponed, with none
	sending int
	counts  map[share]int
}

// share is a part of the requests in flight: those of a tenant, to a host, or of a tenant to a host. The other field is
// empty.
type share struct{ tenant, host string }

// shares returns the shares that the requests of a tenant to a host use.
func (s share) shares() map[share]int {
	return map[share]int{{tenant: s.tenant}: maxPerTenant, {host: s.host}: maxPerHost, s: maxPerTenantHost}
}

// admission is the answer to whether a delivery may be sent now.
type admission int

const (
	admitted admission = iota // it may, and counts until release
	limited                   // its host or its tenant has used up its share; it is busy until release, but does not count
	busy                      // it is being sent or postponed already
	full                      // no delivery may be sent
)

func (l *limiter) acquire(ref webhook.Ref, host string) admission {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy == nil {
		l.busy, l.counts = map[webhook.Ref]*share{}, map[share]int{}
	}
	if _, isBusy := l.busy[ref]; isBusy {
		return busy
	}
	if l.sending == maxConcurrent {
		return full
	}
	request := share{tenant: ref.Tenant, host: host}
	for s, limit := range request.shares() {
		if l.counts[s] == limit {
			l.busy[ref] = nil
			return limited
		}
	}
	for s := range request.shares() {
		l.counts[s]++
	}
	l.sending++
	l.busy[ref] = &request
	return admitted
}

func (l *limiter) release(ref webhook.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if request := l.busy[ref]; request != nil {
		l.sending--
		for s := range request.shares() {
			if l.counts[s]--; l.counts[s] == 0 {
				delete(l.counts, s) // so that the map does not grow with time
			}
		}
	}
	delete(l.busy, ref)
}
