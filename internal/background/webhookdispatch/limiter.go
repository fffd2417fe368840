package webhookdispatch

import (
	"sync"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// Bounds of what one courier sends at once. A slow host, or a tenant with many,
// fills its own share and holds up nobody else.
const (
	maxConcurrent = 64
	maxPerTenant  = 16
	maxPerHost    = 4
)

// room counts what is being sent. The zero room is empty.
type limiter struct {
	mu       sync.Mutex
	inFlight map[webhook.Ref]string // host
	tenants  map[string]int
	hosts    map[string]int
}

// admission says what becomes of a delivery that is due.
type admission int

const (
	admitted       admission = iota // until leave
	throttled                       // its host or its tenant has its share
	alreadySending                  // it is being sent already
	full                            // nothing else is admitted either
)

func (r *limiter) acquire(ref webhook.Ref, host string) admission {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inFlight == nil {
		r.inFlight, r.tenants, r.hosts = map[webhook.Ref]string{}, map[string]int{}, map[string]int{}
	}
	_, sending := r.inFlight[ref]
	switch {
	case sending:
		return alreadySending
	case len(r.inFlight) == maxConcurrent:
		return full
	case r.tenants[ref.Tenant] == maxPerTenant || r.hosts[host] == maxPerHost:
		return throttled
	}
	r.inFlight[ref] = host
	r.tenants[ref.Tenant]++
	r.hosts[host]++
	return admitted
}

func (r *limiter) release(ref webhook.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	decrement(r.tenants, ref.Tenant)
	decrement(r.hosts, r.inFlight[ref])
	delete(r.inFlight, ref)
}

// decrement forgets who has nothing left, so that the map does not grow with time.
func decrement(counts map[string]int, key string) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}
