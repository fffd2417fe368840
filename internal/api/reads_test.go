package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// Very many who come together read one after another, and all are answered.
func TestReadsAtOnceAreBounded(t *testing.T) {
	s := start(t)
	accepted := s.run(s.agent().Id)
	s.store.gate = make(chan struct{})

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
	close(s.store.gate)
	require.NoError(t, all.Wait())
	require.GreaterOrEqual(t, s.store.reads.Load(), int64(callers))
}
