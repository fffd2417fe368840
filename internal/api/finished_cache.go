package api

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Bounds of the cache: 64 MiB of response bodies at most.
const (
	maxCachedExecutions = 2048
	maxCachedBodyBytes  = 32 << 10 // of a longer response only the tag is stored
	// cacheTTL is how long a deleted execution may still be visible, and how late the deletion of a transcript is.
	cacheTTL = time.Minute
)

// finishedCache holds responses about finished executions. A finished execution changes only when its transcript is
// deleted, so neither such a response nor a 304 needs a read of the store. The tenant is part of the key: no tenant
// gets a response of another one. It is safe for concurrent use.
//
// It checks the age of an entry itself, because the expirable cache of golang-lru has a goroutine that never ends.
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

func (c *finishedCache) put(ref execution.Ref, t taggedResponse) {
	if len(t.body) > maxCachedBodyBytes {
		t.body = nil
	}
	c.responses.Add(ref, cachedResponse{taggedResponse: t, storedAt: c.now()})
}

func (c *finishedCache) get(ref execution.Ref) (taggedResponse, bool) {
	found, ok := c.responses.Get(ref)
	if !ok || c.now().Sub(found.storedAt) > cacheTTL {
		return taggedResponse{}, false
	}
	return found.taggedResponse, true
}
