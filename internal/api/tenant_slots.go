package api

import (
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxStreams bounds how many event streams one process serves at the same time.
	maxStreams = 2048
	// maxTenantStreams is a tenant's part of them, so that no tenant takes those of the others.
	maxTenantStreams = maxStreams / 8
)

const (
	// maxUploads bounds how many files one process receives at the same time. Each needs some 4 MiB of memory.
	maxUploads = 32
	// maxTenantUploads is a tenant's part of them.
	maxTenantUploads = maxUploads / 8
)

// tenantSlots counts what is open at the same time: event streams, or uploads. It is safe for concurrent use.
type tenantSlots struct {
	all       *semaphore.Weighted
	perTenant int
	what      string // for people, in the plural
	full      error  // all slots are taken

	mu       sync.Mutex
	byTenant map[string]int
}

func newStreamSlots() *tenantSlots {
	return &tenantSlots{
		all: semaphore.NewWeighted(maxStreams), perTenant: maxTenantStreams, what: "event streams", full: errTooManyStreams,
		byTenant: map[string]int{},
	}
}

func newUploadSlots() *tenantSlots {
	return &tenantSlots{
		all: semaphore.NewWeighted(maxUploads), perTenant: maxTenantUploads, what: "uploads", full: errTooManyUploads,
		byTenant: map[string]int{},
	}
}

// acquire takes a slot of a tenant. If there is no error, the caller calls release once.
func (s *tenantSlots) acquire(tenant string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byTenant[tenant] >= s.perTenant {
		reason := fmt.Sprintf("The tenant has %d %s open at this server, which is its limit. End some of them", s.perTenant, s.what)
		return nil, &rateLimitedError{reason, unavailableRetrySeconds * time.Second}
	}
	if !s.all.TryAcquire(1) {
		return nil, s.full
	}
	s.byTenant[tenant]++
	return func() { s.release(tenant) }, nil
}

func (s *tenantSlots) release(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byTenant[tenant]--; s.byTenant[tenant] == 0 {
		delete(s.byTenant, tenant)
	}
	s.all.Release(1)
}
