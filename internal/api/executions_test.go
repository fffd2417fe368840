package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// Very many concurrent requests share a limited number of reads, and all get a response.
func TestConcurrentReadLimit(t *testing.T) {
	s := startServer(t)
	accepted := s.runAgent(s.createAgent().Id)
	gate := make(chan struct{})
	s.store.beforeRead = func() { <-gate }

	const callers = maxConcurrentReads + 20
	var all errgroup.Group
	for range callers {
		all.Go(func() error {
			res, err := http.Get(s.url + accepted.Urls.Self + "?wait=1ms")
			if err != nil {
				return err
			}
			return res.Body.Close()
		})
	}
	require.Eventually(t, func() bool { return s.watchers.Len() == callers && s.store.reads.Load() == maxConcurrentReads }, 4*time.Second, time.Millisecond)
	close(gate)
	require.NoError(t, all.Wait())
	require.GreaterOrEqual(t, s.store.reads.Load(), int64(callers))
}

// A panic fails only its own request, in whichever goroutine it happens.
func TestPanicFailsOnlyItsRequest(t *testing.T) {
	s := startServer(t)
	accepted := s.runAgent(s.createAgent().Id)
	s.store.beforeRead = func() { panic("broken") }
	for _, path := range []string{accepted.Urls.Self, accepted.Urls.Self + "?wait=1s", accepted.Urls.Events} {
		got := s.do(http.MethodGet, path, "")
		require.Equal(t, http.StatusInternalServerError, got.StatusCode)
		require.Equal(t, contract.ProblemInternal, decodeProblem(t, got).Code)
		require.NotContains(t, string(got.body), "broken")
	}
	s.store.beforeRead = nil
	call[contract.Execution](s, "GET "+accepted.Urls.Self, http.StatusOK, "")
}
