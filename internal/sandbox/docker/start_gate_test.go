package docker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func waitingAt(g *startGate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting[startForJob]) + len(g.waiting[startForPool])
}

// Jobs enter before warm containers, and each of the two in order of arrival.
func TestStartGateOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &startGate{free: 1}
		require.NoError(t, g.enter(t.Context(), startForPool))
		var order []string
		for _, arrival := range []struct {
			name     string
			priority startPriority
		}{{"warm 1", startForPool}, {"job 1", startForJob}, {"warm 2", startForPool}, {"job 2", startForJob}} {
			go func() {
				if g.enter(t.Context(), arrival.priority) == nil {
					order = append(order, arrival.name)
					g.leave()
				}
			}()
			synctest.Wait()
		}
		require.Empty(t, order)
		g.leave()
		synctest.Wait()
		require.Equal(t, []string{"job 1", "job 2", "warm 1", "warm 2"}, order)
		require.Equal(t, 1, g.free)
	})
}

// A start that no longer waits takes no place, also if the place is given at the same moment.
func TestStartGateLosesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			g := &startGate{free: 1}
			require.NoError(t, g.enter(t.Context(), startForJob))
			ctx, cancel := context.WithCancelCause(t.Context())
			cause := errors.New("canceled")
			result := make(chan error, 1)
			go func() { result <- g.enter(ctx, startForJob) }()
			synctest.Wait()
			go cancel(cause)
			go g.leave()
			if err := <-result; err == nil {
				g.leave()
			} else {
				require.Equal(t, cause, err)
			}
			synctest.Wait()
			require.Equal(t, 1, g.free)
			require.Zero(t, waitingAt(g))
		}
	})
}

// When a start has timed out, the others do not wait for a place to time out as well.
func TestStartGateRefusesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &startGate{free: 1}
		require.NoError(t, g.enter(t.Context(), startForPool))
		refused := errors.New("the Engine is slow")
		results := make(chan error, 2)
		for _, priority := range []startPriority{startForJob, startForPool} {
			go func() { results <- g.enter(t.Context(), priority) }()
		}
		synctest.Wait()
		g.refuse(refused)
		require.Equal(t, refused, <-results)
		require.Equal(t, refused, <-results)
		require.Zero(t, waitingAt(g))
		g.leave()
		require.NoError(t, g.enter(t.Context(), startForJob), "the next one tries")
	})
}
