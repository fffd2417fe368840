package webhookdispatch

import (
	"sync"

	"github.com/airlock-run/airlock/internal/domain/webhook"
)

// Bounds of what one courier sends at once. A slow host, or a tenant with many,
// fills its own share and holds up nobody else.
const (
	most          = 64
	mostPerTenant = 16
	mostPerHost   = 4
)

// room counts what is being sent. The zero room is empty.
type room struct {
	mu      sync.Mutex
	sending map[webhook.Ref]string // host
	tenants map[string]int
	hosts   map[string]int
}

// admission says what becomes of a delivery that is due.
type admission int

const (
	admitted  admission = iota // until leave
	crowded                    // its host or its tenant has its share
	inside                     // it is being sent already
	roomIsOut                  // nothing else is admitted either
)

func (r *room) enter(ref webhook.Ref, host string) admission {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sending == nil {
		r.sending, r.tenants, r.hosts = map[webhook.Ref]string{}, map[string]int{}, map[string]int{}
	}
	_, already := r.sending[ref]
	switch {
	case already:
		return inside
	case len(r.sending) == most:
		return roomIsOut
	case r.tenants[ref.Owner] == mostPerTenant || r.hosts[host] == mostPerHost:
		return crowded
	}
	r.sending[ref] = host
	r.tenants[ref.Owner]++
	r.hosts[host]++
	return admitted
}

func (r *room) leave(ref webhook.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	decrement(r.tenants, ref.Owner)
	decrement(r.hosts, r.sending[ref])
	delete(r.sending, ref)
}

// decrement forgets who has nothing left, so that the map does not grow with time.
func decrement(counts map[string]int, key string) {
	if counts[key]--; counts[key] == 0 {
		delete(counts, key)
	}
}
