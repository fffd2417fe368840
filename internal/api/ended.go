package api

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Bounds of what a process remembers of executions that have ended, together
// 64 MiB of answers at the most.
const (
	rememberedExecutions = 2048
	rememberedBody       = 32 << 10 // of a longer answer only the tag is kept
	// rememberedFor is how long an execution that was deleted may still be seen.
	rememberedFor = time.Minute
)

// ended remembers the answers about executions that have ended. They never
// change again, so neither they nor a 304 need to be read from the store. The
// owner is part of the key: nobody is answered with another's. It is safe for
// concurrent use.
type ended struct {
	answers *lru.Cache[execution.Ref, remembered]
	now     func() time.Time
}

type remembered struct {
	tagged
	since time.Time
}

func newEnded() *ended {
	answers, err := lru.New[execution.Ref, remembered](rememberedExecutions)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return &ended{answers: answers, now: time.Now}
}

func (m *ended) remember(ref execution.Ref, t tagged) {
	if len(t.body) > rememberedBody {
		t.body = nil
	}
	m.answers.Add(ref, remembered{tagged: t, since: m.now()})
}

func (m *ended) recall(ref execution.Ref) (tagged, bool) {
	found, ok := m.answers.Get(ref)
	if !ok || m.now().Sub(found.since) > rememberedFor {
		return tagged{}, false
	}
	return found.tagged, true
}
