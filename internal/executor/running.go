package executor

import (
	"sync"

	"github.com/airlock-run/airlock/internal/execution"
)

// running knows which executions this executor runs, so that a signal makes
// the right heartbeat look at once.
type running struct {
	mu    sync.Mutex
	pokes map[execution.Ref]chan struct{}
}

func newRunning() running { return running{pokes: map[execution.Ref]chan struct{}{}} }

// add returns the channel on which pokes for ref arrive, and how to end that.
func (r *running) add(ref execution.Ref) (<-chan struct{}, func()) {
	poked := make(chan struct{}, 1) // one waiting poke says all there is to say
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pokes[ref] = poked
	return poked, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.pokes[ref] == poked {
			delete(r.pokes, ref)
		}
	}
}

func (r *running) poke(ref execution.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.pokes[ref] <- struct{}{}: // a nil channel, of what is not run here, is never ready
	default:
	}
}
