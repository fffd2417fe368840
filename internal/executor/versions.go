package executor

import (
	"context"
	"errors"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/airlock-run/airlock/internal/store"
)

// versionCacheSize bounds the versions that a process remembers, each of at most agent.MaxSettingsBytes.
const versionCacheSize = 64

// errNoVersion means that a version is not stored any more. No attempt can run it.
var errNoVersion = errors.New("the version does not exist any more")

// versionRef names a version of an agent or an environment. It never changes.
type versionRef struct {
	tenant, id string
	version    int
}

// versionCache remembers what versions contain, so that the executions of a batch read them one time.
type versionCache[T any] struct {
	load  func(ctx context.Context, tenant, id string, version int) (T, error)
	known *lru.Cache[versionRef, T]
}

func newVersionCache[T any](load func(ctx context.Context, tenant, id string, version int) (T, error)) versionCache[T] {
	known, err := lru.New[versionRef, T](versionCacheSize)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return versionCache[T]{load: load, known: known}
}

// get returns what a version contains. It is shared: nobody may change it. The error is errNoVersion if the version
// does not exist any more.
func (c versionCache[T]) get(ctx context.Context, v versionRef) (T, error) {
	if content, ok := c.known.Get(v); ok {
		return content, nil
	}
	content, err := c.load(ctx, v.tenant, v.id, v.version)
	if _, missing := errors.AsType[*store.NotFoundError](err); missing {
		return content, fmt.Errorf("%w: %w", errNoVersion, err)
	}
	if err == nil {
		c.known.Add(v, content)
	}
	return content, err
}
