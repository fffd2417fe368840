package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// Very many who come together read one after another, and all are answered.
func TestReadsAtOnceAreBounded(t *testing.T) {
	s := start(t)
	accepted := s.run(s.agent().Id)
	gate := make(chan struct{})
	s.store.before = func() { <-gate }

	const callers = maxReads + 20
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
	require.Eventually(t, func() bool { return s.waiting.Len() == callers && s.store.reads.Load() == maxReads }, 4*time.Second, time.Millisecond)
	close(gate)
	require.NoError(t, all.Wait())
	require.GreaterOrEqual(t, s.store.reads.Load(), int64(callers))
}

// A panic over one request is that request's fault only, wherever it comes from.
func TestAPanicIsARequestsOwn(t *testing.T) {
	s := start(t)
	accepted := s.run(s.agent().Id)
	s.store.before = func() { panic("rotten") }
	for _, path := range []string{accepted.Urls.Self, accepted.Urls.Self + "?wait=1s", accepted.Urls.Events} {
		got := s.do(http.MethodGet, path, "")
		require.Equal(t, http.StatusInternalServerError, got.StatusCode)
		require.Equal(t, contract.ProblemInternal, problemOf(t, got).Code)
		require.NotContains(t, string(got.body), "rotten")
	}
	s.store.before = nil
	call[contract.Execution](s, http.MethodGet, accepted.Urls.Self, http.StatusOK, "")
}
