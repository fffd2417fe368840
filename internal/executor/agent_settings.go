package executor

import (
	"context"
	"errors"
	"fmt"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/store"
)

// settingsCacheSize bounds the settings that a process remembers, each of at most agent.MaxSettingsBytes.
const settingsCacheSize = 64

// errNoSettings means that a version is not stored any more. No attempt can run it.
var errNoSettings = errors.New("the version of the agent does not exist any more")

// agentVersion names a version of an agent, which never changes.
type agentVersion struct {
	tenant, agentID string
	version         int
}

// settingsCache remembers the settings of agents, so that the executions of a batch read them one time.
type settingsCache struct {
	tasks TaskStore
	known *lru.Cache[agentVersion, agent.Settings]
}

func newSettingsCache(tasks TaskStore) settingsCache {
	known, err := lru.New[agentVersion, agent.Settings](settingsCacheSize)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return settingsCache{tasks: tasks, known: known}
}

// get returns the settings of a version. They are shared: nobody may change them.
func (c settingsCache) get(ctx context.Context, v agentVersion) (agent.Settings, error) {
	if settings, ok := c.known.Get(v); ok {
		return settings, nil
	}
	settings, err := c.tasks.AgentSettings(ctx, v.tenant, v.agentID, v.version)
	if _, missing := errors.AsType[*store.NotFoundError](err); missing {
		return settings, fmt.Errorf("%w: %w", errNoSettings, err)
	}
	if err == nil {
		c.known.Add(v, settings)
	}
	return settings, err
}
