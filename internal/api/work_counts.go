package api

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/airlock-run/airlock/internal/store"
)

const (
	// workCountTTL is how long one count serves all requests to this process.
	workCountTTL = 10 * time.Second
	// maxCountedTenants bounds how many tenants have a count in memory.
	maxCountedTenants = 1_000
)

// workCounts remembers the last counts: of all tenants together, and of each tenant in a list. Their readers poll, and
// a tenant costs four reads.
type workCounts struct {
	total   workCount
	tenants *lru.Cache[string, *workCount]
}

func newWorkCounts() *workCounts {
	tenants, err := lru.New[string, *workCount](maxCountedTenants)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return &workCounts{tenants: tenants}
}

// ofTenant returns the place for the count of a tenant.
func (w *workCounts) ofTenant(name string) *workCount {
	created := new(workCount)
	if known, ok, _ := w.tenants.PeekOrAdd(name, created); ok {
		return known
	}
	return created
}

// workCount is one count. Requests that come meanwhile wait for the one that counts.
type workCount struct {
	mu        sync.Mutex
	counted   store.Work
	countedAt time.Time // by this machine's monotonic clock; zero: never
}

func (w *workCount) load(ctx context.Context, count func(context.Context) (store.Work, error)) (store.Work, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	started := time.Now()
	if !w.countedAt.IsZero() && started.Sub(w.countedAt) < workCountTTL {
		return w.counted, nil
	}
	counted, err := count(ctx)
	if err == nil {
		w.counted, w.countedAt = counted, started
	}
	return counted, err
}
