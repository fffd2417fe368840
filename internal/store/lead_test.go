package store

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const leading = 8 * time.Second

func (f fixture) leads(t *testing.T, name string) bool {
	t.Helper()
	leads, now, err := f.Lead(t.Context(), name, leading)
	require.NoError(t, err)
	require.WithinDuration(t, f.clock.Now(), now, time.Second, "the time is Firestore's")
	return leads
}

func TestOneLeadsUntilItsLeaseRunsOut(t *testing.T) {
	t.Parallel()
	f := start(t)
	require.True(t, f.leads(t, "a"))
	require.False(t, f.leads(t, "b"))
	f.clock.Advance(leading - time.Second)
	require.True(t, f.leads(t, "a"), "renewed")
	f.clock.Advance(leading - time.Second)
	require.False(t, f.leads(t, "b"))
	f.clock.Advance(2 * time.Second)
	require.True(t, f.leads(t, "b"))
	require.False(t, f.leads(t, "a"), "it comes back too late")
}

func TestWhoResignsMakesRoomAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t)
	require.NoError(t, f.Resign(t.Context(), "a"), "who does not lead resigns nothing")
	require.True(t, f.leads(t, "a"))
	require.NoError(t, f.Resign(t.Context(), "b"))
	require.False(t, f.leads(t, "b"))
	require.NoError(t, f.Resign(t.Context(), "a"))
	require.True(t, f.leads(t, "b"))
}

func TestOneOfManyIsElected(t *testing.T) {
	t.Parallel()
	f := start(t)
	var elected atomic.Int32
	var g errgroup.Group
	for i := range 20 {
		g.Go(func() error {
			leads, _, err := f.Lead(t.Context(), fmt.Sprint("janitor", i), leading)
			if leads {
				elected.Add(1)
			}
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, 1, elected.Load())
}
