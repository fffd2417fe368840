package api

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Bounds of what a process remembers of executions that have ended, together
// 64 MiB of answers at the most.
const (
	maxCachedExecutions = 2048
	maxCachedBodyBytes  = 32 << 10 // of a longer answer only the tag is kept
	// rememberedFor is how long an execution that was deleted may still be seen.
	cacheTTL = time.Minute
)

// ended remembers the answers about executions that have ended. They never
// change again, so neither they nor a 304 need to be read from the store. The
// tenant is part of the key: nobody is answered with another's. It is safe for
// concurrent use.
type finishedCache struct {
	responses *lru.Cache[execution.Ref, cachedResponse]
	now       func() time.Time
}

type cachedResponse struct {
	taggedResponse
	storedAt time.Time
}

func newFinishedCache() *finishedCache {
	responses, err := lru.New[execution.Ref, cachedResponse](maxCachedExecutions)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return &finishedCache{responses: responses, now: time.Now}
}

func (m *finishedCache) put(ref execution.Ref, t taggedResponse) {
	if len(t.body) > maxCachedBodyBytes {
		t.body = nil
	}
	m.responses.Add(ref, cachedResponse{taggedResponse: t, storedAt: m.now()})
}

func (m *finishedCache) get(ref execution.Ref) (taggedResponse, bool) {
	found, ok := m.responses.Get(ref)
	if !ok || m.now().Sub(found.storedAt) > cacheTTL {
		return taggedResponse{}, false
	}
	return found.taggedResponse, true
}
