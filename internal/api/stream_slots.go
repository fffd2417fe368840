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

// streamSlots counts the open event streams. It is safe for concurrent use.
type streamSlots struct {
	all *semaphore.Weighted

	mu       sync.Mutex
	byTenant map[string]int
}

func newStreamSlots() *streamSlots {
	return &streamSlots{all: semaphore.NewWeighted(maxStreams), byTenant: map[string]int{}}
}

// acquire takes a slot for a stream of a tenant. If there is no error, the caller calls release once.
func (s *streamSlots) acquire(tenant string) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byTenant[tenant] >= maxTenantStreams {
		reason := fmt.Sprintf("The tenant has %d event streams open at this server, which is its limit. Close some of them", maxTenantStreams)
		return nil, &rateLimitedError{reason, unavailableRetrySeconds * time.Second}
	}
	if !s.all.TryAcquire(1) {
		return nil, errTooManyStreams
	}
	s.byTenant[tenant]++
	return func() { s.release(tenant) }, nil
}

func (s *streamSlots) release(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byTenant[tenant]--; s.byTenant[tenant] == 0 {
		delete(s.byTenant, tenant)
	}
	s.all.Release(1)
}
